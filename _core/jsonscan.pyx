"""A lexical scan of JSON text for what the typed decoder lets pass: keys given twice, nesting, keys to look at.

Who calls it: `remotemedia.manifest`, before it decodes. The scan does not judge the grammar (the decoder does that):
on valid JSON its answer is exact, on anything else it is memory-safe and its answer does not matter. It is iterative
and linear in the text: a small object's keys are compared pairwise, a large one's go through a hash set.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memcmp

REPEATED = 1
DEEP = 2
WATCHED = 4
BROKEN = 8

cdef enum:
    PAIRWISE = 16       # an object with more keys than this has them in a set
    LONGEST_WATCHED = 32


cdef struct Key:
    const unsigned char* text   # borrowed from the scanned bytes
    Py_ssize_t length


cdef struct Level:
    Py_ssize_t first            # where this object's keys begin in the stack of keys
    bint is_object
    bint hashed                 # its keys are in `sets[depth]` instead


cdef class KeyScanner:
    """A scan for repeated keys, deep nesting and a given set of watched keys.

    Parameters
    ----------
    watched : iterable of str
        Keys whose presence is reported.
    deepest : int
        Where they count: in objects down to this depth, the outermost being at 1.
    """

    cdef list watched                       # owns the bytes behind `keys`, sorted by length
    cdef Key keys[64]
    cdef int heads[LONGEST_WATCHED + 2]     # the watched keys of length n are keys[heads[n]:heads[n + 1]]
    cdef int deepest

    def __cinit__(self, watched, int deepest):
        cdef bytes key
        cdef int i
        self.deepest = deepest
        self.watched = sorted({word.encode() for word in watched}, key=lambda word: (len(word), word))
        if len(self.watched) > 64 or any(not 0 < len(word) <= LONGEST_WATCHED for word in self.watched):
            raise ValueError(f"at most 64 watched keys of 1 to {LONGEST_WATCHED} bytes")
        for i in range(LONGEST_WATCHED + 2):
            self.heads[i] = sum(len(word) < i for word in self.watched)
        for i in range(len(self.watched)):
            key = self.watched[i]
            self.keys[i].text = key
            self.keys[i].length = len(key)

    def scan(self, bytes text not None, int max_depth):
        """Return 0 if `text` has nothing to look at, else REPEATED, DEEP, WATCHED and BROKEN or-ed together.

        Parameters
        ----------
        text : bytes
            JSON in UTF-8.
        max_depth : int
            Deepest allowed nesting of objects and arrays; the scan ends where it is passed.

        Returns
        -------
        int
            REPEATED: an object has a key twice (escapes undone). DEEP: nesting beyond `max_depth`.
            WATCHED: a watched key occurs where it counts. BROKEN: this is no JSON.
        """
        cdef _Scan state
        if not 0 < max_depth <= 100_000:
            raise ValueError(f"max_depth must be 1 to 100000, not {max_depth}")
        state = _Scan.__new__(_Scan, max_depth)
        return state.run(self, text, len(text), max_depth)

    cdef inline bint is_watched(self, const unsigned char* text, Py_ssize_t length, int depth) noexcept:
        cdef int i
        if depth > self.deepest or length > LONGEST_WATCHED:
            return False
        for i in range(self.heads[length], self.heads[length + 1]):
            if memcmp(self.keys[i].text, text, length) == 0:
                return True
        return False


cdef class _Scan:
    # The state of one scan; a class only so that it is freed whatever happens.
    cdef Level* levels
    cdef Key* keys              # the keys of all open objects, outermost first
    cdef Py_ssize_t key_count
    cdef Py_ssize_t key_room
    cdef list sets              # per depth: the set of keys of a large object

    def __cinit__(self, int max_depth):
        self.key_room = 64
        self.levels = <Level*> PyMem_Malloc((max_depth + 1) * sizeof(Level))
        self.keys = <Key*> PyMem_Malloc(self.key_room * sizeof(Key))
        if self.levels is NULL or self.keys is NULL:
            raise MemoryError
        self.sets = [None] * (max_depth + 1)

    def __dealloc__(self):
        PyMem_Free(self.levels)
        PyMem_Free(self.keys)

    cdef int run(self, KeyScanner scanner, const unsigned char* text, Py_ssize_t size, int max_depth) except -1:
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t start
        cdef int depth = 0
        cdef int found = 0
        cdef bint key_next = False      # the next string of this level is a key
        cdef bint escaped
        cdef unsigned char ch
        while at < size:
            ch = text[at]
            at += 1
            if ch == c'"':
                start = at
                escaped = False
                while at < size and text[at] != c'"':
                    if text[at] == c'\\':
                        escaped = True
                        at += 1
                    at += 1
                if at >= size:
                    return found | BROKEN
                if key_next:
                    key_next = False
                    if escaped:
                        found |= self.take_escaped(scanner, text[start:at], depth)
                    else:
                        if scanner.is_watched(text + start, at - start, depth):
                            found |= WATCHED
                        found |= self.take(text + start, at - start, depth)
                at += 1
            elif ch == c',':
                key_next = depth > 0 and self.levels[depth].is_object
            elif ch == c'{' or ch == c'[':
                if depth == max_depth:
                    return found | DEEP
                depth += 1
                key_next = ch == c'{'
                self.levels[depth].is_object = key_next
                self.levels[depth].hashed = False
                self.levels[depth].first = self.key_count
            elif ch == c'}' or ch == c']':
                if depth == 0 or self.levels[depth].is_object != (ch == c'}'):
                    return found | BROKEN
                self.key_count = self.levels[depth].first
                if self.levels[depth].hashed:
                    self.sets[depth] = None
                depth -= 1
                key_next = False
        return found

    cdef int take(self, const unsigned char* text, Py_ssize_t length, int depth) except -1:
        """Add a key to the object at `depth`; REPEATED if it has it already, else 0."""
        cdef Level* level = &self.levels[depth]
        cdef Py_ssize_t i
        if not level.hashed and self.key_count - level.first == PAIRWISE:
            self.hash_keys(depth)
        if level.hashed:
            return self.take_hashed(text[:length], depth)
        for i in range(level.first, self.key_count):
            if self.keys[i].length == length and memcmp(self.keys[i].text, text, length) == 0:
                return REPEATED
        if self.key_count == self.key_room:
            self.grow()
        self.keys[self.key_count].text = text
        self.keys[self.key_count].length = length
        self.key_count += 1
        return 0

    cdef int take_escaped(self, KeyScanner scanner, bytes raw, int depth) except -1:
        """Undo the escapes of a key (which then has bytes of its own, so it goes into a set) and add it."""
        cdef bytes key
        import json  # here, since few manifests have such keys and it would slow the package's import

        try:
            key = json.loads(b'"%b"' % raw).encode("utf-8", "surrogatepass")
        except ValueError:
            return BROKEN
        if not self.levels[depth].hashed:
            self.hash_keys(depth)
        return self.take_hashed(key, depth) | (WATCHED if scanner.is_watched(key, len(key), depth) else 0)

    cdef int take_hashed(self, bytes key, int depth) except -1:
        cdef set keys = self.sets[depth]
        if key in keys:
            return REPEATED
        keys.add(key)
        return 0

    cdef int hash_keys(self, int depth) except -1:
        cdef Level* level = &self.levels[depth]
        cdef Py_ssize_t i
        self.sets[depth] = {self.keys[i].text[:self.keys[i].length] for i in range(level.first, self.key_count)}
        self.key_count = level.first
        level.hashed = True
        return 0

    cdef int grow(self) except -1:
        cdef Key* keys = <Key*> PyMem_Realloc(self.keys, 2 * self.key_room * sizeof(Key))
        if keys is NULL:
            raise MemoryError
        self.keys = keys
        self.key_room *= 2
        return 0
