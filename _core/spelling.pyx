"""The keys of a freshly decoded manifest are put into their one spelling, in place; by the tables of a `KeySpeller`.

Who calls it: `remotemedia.manifest_spelling`, which makes the tables and says what they mean. What it cannot put right
it answers with False, at once; the tree is of no use then.
"""

from remotemedia.manifest_parts import EXTRA_KEY as _EXTRA_KEY
from remotemedia.manifest_parts import Extra, joins_where_it_says

cdef str FREE = "x-"  # how keys begin that may be anywhere
cdef str JOIN_MISSING = "join_missing"


cdef class KeySpeller:
    """What the keys of one kind of object turn into.

    Parameters
    ----------
    usual : frozenset of str
        Keys that stay as they are.
    required : frozenset of str
        Keys whose null is no absence.
    odd : dict of str to tuple
        All other keys, in each spelling: ``(name, foreign, harmless, refused, spell_inside)``; the one spelling,
        whether it goes to the extra keys, the values that ask for nothing (None: all) and whether others are refused,
        and what puts the value into its one spelling (a method like `spell`, or None).
    """

    cdef frozenset usual
    cdef frozenset required
    cdef dict odd

    def __cinit__(self, frozenset usual not None, frozenset required not None, dict odd not None):
        if any(type(entry) is not tuple or len(entry) != 5 for entry in odd.values()):
            raise TypeError("each odd key has a tuple of five")
        self.usual = usual
        self.required = required
        self.odd = odd

    def spell(self, value, str path not None, dict inert not None):
        """Put the keys of an object into their one spelling; return whether that could be done.

        Parameters
        ----------
        value : object
            What is no dict is left to the typed conversion.
        path : str
            Of the value in the manifest.
        inert : dict of str to str
            Takes keys that nothing acts on, with the path of their first use.
        """
        return self.settle(value, path, -1, inert)

    def spell_each(self, values, str path not None, dict inert not None):
        """Do the same to each object of an array."""
        cdef Py_ssize_t i
        if type(values) is list:
            for i in range(len(<list> values)):
                if not self.settle((<list> values)[i], path, i, inert):
                    return False
        return True

    cdef bint settle(self, object value, str path, Py_ssize_t index, dict inert) except -1:
        cdef dict tree
        cdef object extra = None  # a dict of its own type
        cdef list keys = None
        cdef list nulls = None
        cdef tuple odd
        if type(value) is not dict:
            return True
        tree = value
        for key, item in tree.items():
            if item is None or key not in self.usual:
                keys = [] if keys is None else keys
                keys.append(key)
        if keys is None:
            return True
        for key in keys:
            item = tree.pop(key)
            odd = self.odd.get(key)
            if odd is None and key not in self.usual:
                if not (<str> key).startswith(FREE):
                    return False
                extra = Extra() if extra is None else extra
                extra[key] = item
                continue
            name = key if odd is None else odd[0]
            if name in tree or (extra is not None and name in extra):
                return False  # it is there in another spelling
            if item is None:
                if name in self.required:
                    return False
                nulls = [] if nulls is None else nulls
                nulls.append(name)
                tree[name] = None  # until all are seen: null is a value when it comes to another spelling
                continue
            if odd[1]:
                extra = Extra() if extra is None else extra
                extra[name] = item
            else:
                tree[name] = item
            if odd[2] is not None and item not in odd[2]:
                if odd[3]:
                    return False
                if name not in inert:
                    inert[name] = place(path, index, key)
            if odd[4] is not None and not odd[4](item, place(path, index, key), inert):
                return False
        if nulls is not None:
            for name in nulls:
                del tree[name]
        if extra is not None:
            tree[_EXTRA_KEY] = extra
        return JOIN_MISSING not in tree or joins_where_it_says(tree)


cdef str place(str path, Py_ssize_t index, str key):
    return f"{path}.{key}" if index < 0 else f"{path}[{index}].{key}"
