"""Media items: `AudioFrame`, `VideoFrame`, `Text`.

Made by readers and by every node that hands on media, one for each item: so they are extension types, whose making
and checking costs less than a tuple's with names would. They own nothing but references: the array is the one that
came in, never a copy, and it is read-only by contract. The public door is `remotemedia.media`.

NumPy is looked up in `sys.modules`, not imported: without it there are no arrays, and `Text` needs none.
"""

import sys

cimport cython
from cpython.object cimport PyObject_RichCompareBool, Py_EQ

cdef long long NS = 1_000_000_000
cdef long MAX_RATE_HZ = 10_000_000
cdef Py_ssize_t MAX_CHANNELS = 256
cdef Py_ssize_t MAX_SIDE = 65_535

cdef dict CHANNELS_OF = {"rgb24": 3, "bgr24": 3, "rgba": 4, "gray": 1}
cdef tuple SAMPLE_TYPES = ()
cdef object uint8 = None
cdef object ndarray = None


cdef int find_numpy() except -1:
    """Look NumPy's types up, once it is there."""
    global ndarray, SAMPLE_TYPES, uint8
    numpy = sys.modules.get("numpy")
    if numpy is None or getattr(numpy, "ndarray", None) is None:
        return 0
    SAMPLE_TYPES = (numpy.dtype("float32"), numpy.dtype("int16"), numpy.dtype("float64"))
    uint8 = numpy.dtype("uint8")
    ndarray = numpy.ndarray
    return 0


cdef object plain_array(object value, str what):
    """Return what is an array, as one of no subclass; a masked one is refused."""
    if ndarray is None:
        find_numpy()
    if type(value) is ndarray:
        return value
    if ndarray is None or not isinstance(value, ndarray):
        raise TypeError(f"{what} must be a NumPy array, not {type(value).__name__}")
    if hasattr(value, "mask"):
        raise TypeError(f"{what} must not be a masked array: fill what is masked before (.filled(0))")
    return value.view(ndarray)


cdef object metadata_of(object value):
    if value is None:
        return {}
    if type(value) is not dict:
        if not hasattr(value, "keys"):
            raise TypeError(f"metadata must be a dict, not {type(value).__name__}")
        value = dict(value)
    return value


cdef long long pts_of(object value) except? -1:
    if type(value) is not int:
        try:
            value = value.__index__()
        except AttributeError:
            raise TypeError(f"pts_ns must be a whole number of nanoseconds, not {type(value).__name__}") from None
    try:
        return value
    except OverflowError:
        raise ValueError(f"pts_ns must fit into 64 bits, got a number of {value.bit_length()} bits") from None


cdef object changed(object kept, object changes, str field):
    return changes.pop(field) if field in changes else kept


cdef int refuse_again(dict metadata) except -1:
    """An item that is made stays as it is, also if its `__init__` is called once more."""
    if metadata is not None:
        raise TypeError("media items do not change: make another, by replace()")
    return 0


cdef int refuse_rest(object changes, str kind) except -1:
    if changes:
        raise TypeError(f"{kind} has no field {next(iter(changes))!r}")
    return 0


@cython.final
cdef class AudioFrame:
    """A stretch of audio: samples of one or more channels, with their rate and the time of the first.

    Parameters
    ----------
    samples : ndarray of float32, int16 or float64, shape (channels, n) or (n,)
        Full scale is -1…1 for floats, -32768…32767 for int16. One dimension is one channel. Kept as it is, without a
        copy, and read-only by contract: items may be shared by branches of a pipeline.
    sample_rate : int
        Samples per second of a channel, 1…10 000 000.
    pts_ns : int
        Presentation time of the first sample, in ns since the start of the recording.
    metadata : dict, optional
        Whatever else is known of it; nodes hand it on, and add what they measure. Not to be changed in place.

    Raises
    ------
    TypeError
        `samples` is no array of such a type; a number or the metadata is of another type.
    ValueError
        The array has another shape, no channels or more than 256 (then it is transposed), or the rate is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from remotemedia import AudioFrame
    >>> frame = AudioFrame(np.zeros((2, 480), np.float32), 48_000, pts_ns=1_500_000_000)
    >>> frame
    <AudioFrame 2 x 480 float32, 48000 Hz, at 1.500 s>
    >>> frame.duration_s, frame.end_s
    (0.01, 1.51)
    >>> frame.replace(metadata={"speaker": "A"}).pts_ns
    1500000000
    """

    def __init__(self, object samples, object sample_rate, object pts_ns=0, object metadata=None):
        cdef object shape, dtype
        refuse_again(self.metadata)
        samples = plain_array(samples, "samples")
        dtype = samples.dtype
        if not (dtype is SAMPLE_TYPES[0] or dtype in SAMPLE_TYPES):
            raise TypeError(f"samples must be float32, int16 or float64, not {dtype}: convert them before")
        shape = samples.shape
        if len(shape) == 1:
            samples = samples[None, :]
        elif len(shape) != 2 or not shape[0]:
            raise ValueError(f"samples must have shape (channels, n) or (n,), got {shape}")
        elif shape[0] > MAX_CHANNELS:
            raise ValueError(
                f"samples must have shape (channels, n) with up to {MAX_CHANNELS} channels, got {shape}; "
                "transpose what is (n, channels)"
            )
        self.samples = samples
        self.sample_rate = rate_of(sample_rate)
        self.pts_ns = pts_of(pts_ns)
        self.metadata = metadata_of(metadata)

    @property
    def channels(self):
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def sample_count(self):
        """Samples of each channel."""
        return self.samples.shape[1]

    @property
    def duration_ns(self):
        """How long it lasts, rounded to ns."""
        return samples_to_ns(self.samples.shape[1], self.sample_rate)

    @property
    def end_ns(self):
        """Time just after the last sample, in ns."""
        return self.pts_ns + self.duration_ns

    @property
    def start_s(self):
        """`pts_ns` in seconds."""
        return self.pts_ns / 1e9

    @property
    def end_s(self):
        """Time just after the last sample, in seconds."""
        return self.start_s + self.duration_s

    @property
    def duration_s(self):
        """How long it lasts, in seconds."""
        return self.samples.shape[1] / self.sample_rate

    def replace(self, **changes):
        """Return a frame with other fields; those that are not named stay the same objects."""
        made = AudioFrame(
            changed(self.samples, changes, "samples"), changed(self.sample_rate, changes, "sample_rate"),
            changed(self.pts_ns, changes, "pts_ns"), changed(self.metadata, changes, "metadata"),
        )
        refuse_rest(changes, "AudioFrame")
        return made

    def tagged(self, **metadata):
        """Return a frame with these entries of the metadata added or put in place of others."""
        cdef AudioFrame made = AudioFrame.__new__(AudioFrame)
        made.samples, made.sample_rate, made.pts_ns = self.samples, self.sample_rate, self.pts_ns
        made.metadata = {**self.metadata, **metadata}
        return made

    def __reduce__(self):
        return AudioFrame, (self.samples, self.sample_rate, self.pts_ns, self.metadata)

    def __repr__(self):
        return (
            f"<AudioFrame {self.samples.shape[0]} x {self.samples.shape[1]} {self.samples.dtype}, "
            f"{self.sample_rate} Hz, at {self.start_s:.3f} s>"
        )


@cython.final
cdef class VideoFrame:
    """A picture of a video, with the time at which it is shown.

    Parameters
    ----------
    array : ndarray of uint8, shape (height, width, channels), or (height, width) for gray
        The pixels, kept as they are and read-only by contract.
    pts_ns : int
        Presentation time, in ns since the start of the recording.
    format : {"rgb24", "bgr24", "rgba", "gray"}, optional
        What the channels mean; by default gray, rgb24 or rgba by their number.
    metadata : dict, optional
        Whatever else is known of it; not to be changed in place.

    Raises
    ------
    TypeError
        `array` is no array of uint8; a number or the metadata is of another type.
    ValueError
        The format is unknown, or the array's shape does not fit it, is empty, or has a side of more than 65 535.

    Examples
    --------
    >>> import numpy as np
    >>> from remotemedia import VideoFrame
    >>> VideoFrame(np.zeros((90, 160, 3), np.uint8), pts_ns=40_000_000)
    <VideoFrame 160 x 90 rgb24, at 0.040 s>
    """

    def __init__(self, object array, object pts_ns=0, object format=None, object metadata=None):
        cdef object shape
        refuse_again(self.metadata)
        array = plain_array(array, "array")
        if array.dtype != uint8:
            raise TypeError(f"the array of a VideoFrame must be of uint8, not {array.dtype}")
        shape = array.shape
        if len(shape) == 2:
            array = array[:, :, None]
            shape = array.shape
        if len(shape) != 3 or not 0 < shape[0] <= MAX_SIDE or not 0 < shape[1] <= MAX_SIDE:
            raise ValueError(f"the array of a VideoFrame must have shape (height, width, channels), got {shape}")
        if format is None:
            format = {1: "gray", 3: "rgb24", 4: "rgba"}.get(shape[2], "rgb24")
        if not isinstance(format, str) or format not in CHANNELS_OF:
            raise ValueError(f"format must be one of {', '.join(CHANNELS_OF)}, not {format!r:.80}")
        if shape[2] != CHANNELS_OF[format]:
            raise ValueError(f"{format} has {CHANNELS_OF[format]} channels, the array {shape[2]}: its shape is {shape}")
        self.array = array
        self.format = format
        self.pts_ns = pts_of(pts_ns)
        self.metadata = metadata_of(metadata)

    @property
    def width(self):
        """Pixels in a row."""
        return self.array.shape[1]

    @property
    def height(self):
        """Rows."""
        return self.array.shape[0]

    @property
    def channels(self):
        """Values of a pixel."""
        return self.array.shape[2]

    @property
    def start_s(self):
        """`pts_ns` in seconds."""
        return self.pts_ns / 1e9

    def replace(self, **changes):
        """Return a frame with other fields; those that are not named stay the same objects."""
        made = VideoFrame(
            changed(self.array, changes, "array"), changed(self.pts_ns, changes, "pts_ns"),
            changed(self.format, changes, "format"), changed(self.metadata, changes, "metadata"),
        )
        refuse_rest(changes, "VideoFrame")
        return made

    def tagged(self, **metadata):
        """Return a frame with these entries of the metadata added or put in place of others."""
        return VideoFrame(self.array, self.pts_ns, self.format, {**self.metadata, **metadata})

    def __reduce__(self):
        return VideoFrame, (self.array, self.pts_ns, self.format, self.metadata)

    def __repr__(self):
        return f"<VideoFrame {self.width} x {self.height} {self.format}, at {self.start_s:.3f} s>"


@cython.final
cdef class Text:
    """A piece of text that belongs to a time.

    Parameters
    ----------
    text : str
        It; may be empty.
    pts_ns : int
        The time that it belongs to, in ns since the start of the recording.
    metadata : dict, optional
        Whatever else is known of it; not to be changed in place.

    Raises
    ------
    TypeError
        `text` is no str; the time or the metadata is of another type.

    Examples
    --------
    >>> from remotemedia import Text
    >>> Text("good morning", pts_ns=700_000_000)
    <Text 'good morning', at 0.700 s>
    """

    def __init__(self, object text, object pts_ns=0, object metadata=None):
        refuse_again(self.metadata)
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        self.text = text
        self.pts_ns = pts_of(pts_ns)
        self.metadata = metadata_of(metadata)

    @property
    def start_s(self):
        """`pts_ns` in seconds."""
        return self.pts_ns / 1e9

    def replace(self, **changes):
        """Return a text with other fields; those that are not named stay the same objects."""
        made = Text(
            changed(self.text, changes, "text"), changed(self.pts_ns, changes, "pts_ns"),
            changed(self.metadata, changes, "metadata"),
        )
        refuse_rest(changes, "Text")
        return made

    def tagged(self, **metadata):
        """Return a text with these entries of the metadata added or put in place of others."""
        return Text(self.text, self.pts_ns, {**self.metadata, **metadata})

    def __eq__(self, other):
        if not isinstance(other, Text):
            return NotImplemented
        cdef Text them = <Text>other
        return (
            self.pts_ns == them.pts_ns and self.text == them.text
            and PyObject_RichCompareBool(self.metadata, them.metadata, Py_EQ)
        )

    def __hash__(self):
        return hash((self.text, self.pts_ns))

    def __reduce__(self):
        return Text, (self.text, self.pts_ns, self.metadata)

    def __repr__(self):
        shown = self.text if len(self.text) <= 80 else self.text[:79] + "…"
        return f"<Text {shown!r}, at {self.start_s:.3f} s>"


cdef long rate_of(object value) except -1:
    if type(value) is not int:
        try:
            value = value.__index__()
        except AttributeError:
            raise TypeError(f"sample_rate must be a whole number of Hz, not {type(value).__name__}") from None
    if not 1 <= value <= MAX_RATE_HZ:
        shown = value if -10**18 < value < 10**18 else "a number of more than 18 digits"
        raise ValueError(f"sample_rate must be 1…{MAX_RATE_HZ} Hz, got {shown}")
    return value


def samples_to_ns(object count, long sample_rate):
    """Return how long so many samples last, in whole ns, rounded to the nearest (half up)."""
    return (2 * count * NS + sample_rate) // (2 * sample_rate)
