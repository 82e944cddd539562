# The built-in nodes for numbers. Final, so that a lane may do what a node of exactly one of these types does.

from remotemedia._core.node cimport NativeNode


cdef enum Operation:
    ADD, SUBTRACT, MULTIPLY, DIVIDE, MODULO, POWER


cdef class Arithmetic(NativeNode):
    cdef Operation operation
    cdef object operand               # a number


cdef class Multiply(Arithmetic):
    pass


cdef class Add(Arithmetic):
    pass


cdef class Calculator(Arithmetic):
    pass


cdef class Abs(NativeNode):
    pass


cdef class Clamp(NativeNode):
    cdef object least                 # a number, or None: no limit
    cdef object most


cdef class Round(NativeNode):
    cdef int digits


cdef class Threshold(NativeNode):
    cdef object threshold             # a number
    cdef object key                   # str, or None: the item itself is compared
