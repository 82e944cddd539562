"""Reading the params of built-in nodes at `initialize`, and what counts as a number."""

from numbers import Number

from remotemedia.errors import bounded_repr
from remotemedia.items import is_array


cdef bint is_other_number(object value) except -1:
    """The same as `is_number`, for what is no plain float or int."""
    return isinstance(value, Number) and not PyBool_Check(value)


cdef bint is_operand(object value) except -1:
    """A number, or a NumPy array of numbers: what arithmetic takes."""
    return is_number(value) or (is_array(value) and value.dtype.kind in "iufc")


cdef int refuse_item(object item, str wanted) except -1:
    raise TypeError(f"takes {wanted}, not {type(item).__name__}")


cdef object param_error(NodeContext context, str name, str problem):
    where = f"node {bounded_repr(context.node_id)} ({context.node_type})"
    return ValueError(f"{where}: param {bounded_repr(name)} {problem}")


cdef int check_names(NodeContext context, object known) except -1:
    for name in context.params:
        if name not in known:
            from remotemedia.bounded import close_matches
            close = close_matches(str(name), known)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'none'}"
            raise param_error(context, str(name), f"is unknown; {hint}")
    return 0


cdef object required(NodeContext context, str name):
    try:
        return context.params[name]
    except KeyError:
        raise param_error(context, name, "is missing") from None


cdef object number_param(NodeContext context, str name):
    value = required(context, name)
    if not is_number(value):
        raise param_error(context, name, f"must be a number, not {bounded_repr(value)}")
    return value


cdef Py_ssize_t size_param(NodeContext context, str name) except -1:
    value = required(context, name)
    if not isinstance(value, int) or PyBool_Check(value) or value < 1:
        raise param_error(context, name, f"must be an integer of at least 1, not {bounded_repr(value)}")
    return min(value, 2 ** 62)  # more than memory holds


cdef str text_param(NodeContext context, str name):
    value = required(context, name)
    if not isinstance(value, str):
        raise param_error(context, name, f"must be a string, not {bounded_repr(value)}")
    return str(value)


cdef int choice_param(NodeContext context, str name, dict choices) except -1:
    value = required(context, name)
    if not isinstance(value, str) or value not in choices:
        raise param_error(context, name, f"must be one of {', '.join(choices)}, not {bounded_repr(value)}")
    return choices[value]
