# The params of built-in nodes, and what counts as a number: what `numbers.Number` says, but no bool.

from cpython.bool cimport PyBool_Check
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact

from remotemedia._core.node cimport NodeContext


cdef bint is_other_number(object value) except -1
cdef bint is_operand(object value) except -1
cdef int refuse_item(object item, str wanted) except -1
cdef object param_error(NodeContext context, str name, str problem)
cdef int check_names(NodeContext context, object known) except -1
cdef object required(NodeContext context, str name)
cdef object number_param(NodeContext context, str name)
cdef Py_ssize_t size_param(NodeContext context, str name) except -1
cdef str text_param(NodeContext context, str name)
cdef int choice_param(NodeContext context, str name, dict choices) except -1


cdef inline bint is_number(object value) except -1:
    return PyFloat_CheckExact(value) or PyLong_CheckExact(value) or is_other_number(value)
