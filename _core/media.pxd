cdef class AudioFrame:
    cdef readonly object samples         # ndarray (channels, n): the caller's own memory
    cdef readonly long sample_rate       # Hz, 1…10 000 000
    cdef readonly long long pts_ns       # ns since the start of the recording
    cdef readonly dict metadata          # never None; shared between frames, not changed in place


cdef class VideoFrame:
    cdef readonly object array           # ndarray of uint8 (height, width, channels)
    cdef readonly str format             # a key of CHANNELS_OF
    cdef readonly long long pts_ns
    cdef readonly dict metadata


cdef class Text:
    cdef readonly str text
    cdef readonly long long pts_ns
    cdef readonly dict metadata
