"""1-to-1 batches: passes wait at a cut until there are enough of them, and one call is made for all. Read `overlap` first.

A node with such batches is a cut whose window has no workers: the run makes the call itself, for the frames that wait,
and from then on each is a frame whose call is at its end. So passes keep their order, their items on other connections
and their errors, as where calls overlap.

A batch is called when it is full, when its first item has waited as long as it may, or when nothing else can go on:
at the end of the input. What waits are the passes that still have something to do, so there are never more than a
batch has items.
"""

from cpython.list cimport PyList_CheckExact
from cpython.object cimport PyObject, PyTypeObject
from cpython.time cimport perf_counter_ns
from libc.stdint cimport int64_t

from remotemedia._core.capi cimport is_lazy
from remotemedia._core.overlap cimport OverlapState
from remotemedia._core.plan cimport Step
from remotemedia._core.run cimport FEED_BLOCKS, FEED_LIST, SUSPENDED
from remotemedia._core.window cimport Frame, Window

from remotemedia._core.run import Interrupted
from remotemedia.arrays import as_plain, canonical
from remotemedia.items import iterate

cdef extern from "Python.h":
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence) noexcept
    PyObject* PySequence_Fast_GET_ITEM(object sequence, Py_ssize_t i) noexcept
    PyObject* PyList_GET_ITEM(list items, Py_ssize_t i) noexcept
    PyTypeObject* Py_TYPE(object item) noexcept

cdef object Failed = None  # of `remotemedia.batching`, which only runs with batches import


cdef class BatchState(OverlapState):
    """What a run does at cuts with batches."""

    # --- when ------------------------------------------------------------------------------------------------------------

    cdef bint may_begin(self, Window window) except -1:
        """Whether a batch of a window may be called: it has a first item, and a sequential run would come to it."""
        return (
            window.batch and window.unstarted is not None and not window.head.done
            and not self.is_later(window.unstarted)
        )

    cdef int full_batch(self) except -2:
        """The cut of a batch that is full, or has waited long enough; -1 for none."""
        cdef Window window
        cdef int k
        cdef int64_t now = 0
        for k in range(self.plan.cut_count - 1, -1, -1):
            window = self.windows[k]
            if not self.may_begin(window):
                continue
            if not window.has_room():
                return k
            if window.wait_ns >= 0:
                if now == 0:
                    now = perf_counter_ns()
                if now - window.unstarted.began_ns >= window.wait_ns:
                    return k
        return -1

    cdef int partial_batch(self) except -2:
        """The cut of the first batch that will not get more items, for nothing else can go on; -1 for none."""
        cdef Window window
        cdef int k
        if self.aside is not None and self.held is None:  # the input may bring more; not if an error is to end the run
            return -1
        for window in self.windows:
            if not window.batch and window.running + window.queued:
                return -1
        for k in range(self.plan.cut_count):
            if self.may_begin(self.windows[k]):
                return k
        return -1

    cdef int64_t batch_wait(self) except -2:
        """How long until a batch has waited long enough, in nanoseconds; -1 for none."""
        cdef Window window
        cdef int64_t first = -1
        cdef int64_t at
        for window in self.windows:
            if window.wait_ns >= 0 and self.may_begin(window):
                at = window.unstarted.began_ns + window.wait_ns
                if first < 0 or at < first:
                    first = at
        return -1 if first < 0 else max(first - perf_counter_ns(), 0) + 1

    # --- the call --------------------------------------------------------------------------------------------------------

    cdef int call_batch(self, int k) except -1:
        """Call the node of a cut with what waits there; SUSPENDED, or 0."""
        cdef Window window = self.windows[k]
        cdef list frames = self.frames_of_batch(window)
        cdef Frame frame
        cdef list items = [(<Frame> frame).item for frame in frames]
        cdef int u = self.plan.cuts[k].node
        self.batch_began_ns = perf_counter_ns() if self.timed else 0
        try:
            given = window.function(items)
            if self.plan.batch_awaits[u]:
                self.begin_await(u, "process_batch", given)
        except BaseException as error:
            self.fail_batch(window, frames, error)
            return 0
        if self.pending is None:
            self.settle_batch(window, frames, given)
            return 0
        self.batch = frames
        self.batch_of = k
        return self.finish_batch()

    cdef list frames_of_batch(self, Window window):
        """Begin the call of the next batch: return its frames."""
        cdef list frames = []
        cdef Frame frame = window.unstarted
        while frame is not None and len(frames) < window.calls and not self.is_later(frame):
            if frame.calls:
                frame.started = True
                if self.timed:
                    frame.waited_ns = perf_counter_ns() - frame.waited_ns
                frames.append(frame)
            frame = frame.behind
        while frame is not None and not frame.calls:
            frame = frame.behind
        window.unstarted = frame
        window.queued -= <int> len(frames)
        window.running += <int> len(frames)
        return frames

    cdef int finish_batch(self) except -1:
        """Go on with a call that is awaited; SUSPENDED, or 0."""
        cdef Window window = self.windows[self.batch_of]
        cdef list frames = self.batch
        try:
            if self.go_on() == SUSPENDED:
                return SUSPENDED
            given = self.take_outcome()
        except BaseException as error:
            self.forget_batch()
            if type(error) is Interrupted:
                self.settle_batch(window, frames, [None] * len(frames))
            else:
                self.fail_batch(window, frames, error)
            return 0
        self.forget_batch()
        self.settle_batch(window, frames, given)
        return 0

    cdef int forget_batch(self) except -1:
        self.batch = None
        self.batch_of = -1
        return 0

    cdef int settle_batch(self, Window window, list frames, object given) except -1:
        """Give each frame its output."""
        cdef Frame frame
        cdef list outputs
        cdef Py_ssize_t i = 0
        cdef int64_t spent_ns = 0
        global Failed
        if Failed is None:
            from remotemedia.batching import Failed
        try:
            if PyList_CheckExact(given) and len(given) == len(frames):
                outputs = given
            else:
                from remotemedia.batching import outputs_of

                outputs = outputs_of(window.node, len(frames), given)
        except BaseException as error:
            self.fail_batch(window, frames, error)
            return 0
        if self.timed:
            spent_ns = (perf_counter_ns() - self.batch_began_ns) // max(len(frames), 1)
        for frame in frames:
            output = outputs[i]
            i += 1
            if type(output) is Failed:
                frame.error = output.error
                frame.trace = output.trace
                output = None
            frame.item = output
            frame.elapsed_ns = spent_ns
            frame.done = True
        window.running -= <int> len(frames)
        return 0

    cdef int fail_batch(self, Window window, list frames, object error) except -1:
        """Let each frame fail; what is no Exception ends the run now."""
        cdef Frame frame
        cdef Step* step
        cdef int64_t spent_ns = 0
        if self.timed:
            spent_ns = (perf_counter_ns() - self.batch_began_ns) // max(len(frames), 1)
        window.running -= <int> len(frames)
        for frame in frames:
            frame.item = None
            frame.elapsed_ns = spent_ns
            frame.done = True
            if isinstance(error, Exception):
                frame.error = error
                frame.trace = error.__traceback__
            else:
                frame.calls = False
        if not isinstance(error, Exception):
            step = self.steps + self.plan.cuts[window.number].step
            step.failed += len(frames)
            raise error
        return 0

    # --- a pipeline of one such node, and a list or an array: no passes are made, as long as all is well -----------------

    cdef bint feed_batch(self) except -1:
        """Call the node with items of the input, batch after batch, and keep what it gives.

        Return True where frames were made of a batch, for something is to be done with each of its items; False where
        the next item, or the end, is to be fetched.
        """
        cdef Window window
        cdef Py_ssize_t count
        if not self.plan.whole_batch or self.streaming or self.on_loop or self.timed:
            return False
        window = self.windows[0]
        if self.feed == FEED_BLOCKS:
            return self.feed_blocks(window)
        if self.feed != FEED_LIST:
            return False
        while True:
            count = self.bulk_count(window)
            if count == 0:
                return False
            items = self.source[self.cursor_at:self.cursor_at + count]
            if type(items) is not list:
                items = list(items)
            self.take_in(count)
            failure = given = None
            try:
                given = window.function(items)
            except BaseException as error:
                failure = error
                break
            if not PyList_CheckExact(given) or len(given) != count or self.keep_outputs(given) != 0:
                break
            self.fed += count
            self.index = self.fed
        items = self.source[self.cursor_at - count:self.cursor_at]
        self.make_frames(window, items, count, given, failure)
        return True

    cdef bint feed_blocks(self, Window window) except -1:
        """Do the same with an array, for a node that takes arrays."""
        cdef Py_ssize_t count
        while True:
            count = min(<Py_ssize_t> window.calls, len(self.source) - self.cursor_at)
            if count <= 0:
                return False
            block = canonical(self.source[self.cursor_at:self.cursor_at + count])
            self.take_in(count)
            failure = given = None
            try:
                given = window.function(block)
            except BaseException as error:
                failure = error
                break
            if not self.keep_block(given, count):
                break
            self.fed += count
            self.index = self.fed
        self.spill_blocks()
        self.make_frames(window, list(iterate(block)), count, given, failure)
        return True

    cdef int take_in(self, Py_ssize_t count) except -1:
        """Count the next items of the input as pulled; look at signals every now and then."""
        self.budget -= count
        if self.budget < 0:
            self.tick()
        self.cursor_at += count
        self.items_in += count
        return 0

    cdef bint keep_block(self, object given, Py_ssize_t count) except -1:
        """Keep the outputs of a batch as an array; False if they are none, or of another kind than those before."""
        made = as_plain(given, count)
        if made is None or (self.blocks and made.dtype != self.blocks[0].dtype) or self.results:
            return False
        if self.blocks is None:
            self.blocks = []
        self.blocks.append(made)
        self.steps[self.plan.cuts[0].step].passed += count
        return True

    cdef int spill_blocks(self) except -1:
        """Put what was kept as arrays into the list of results."""
        if self.blocks is not None:
            for block in self.blocks:
                self.results.extend(block.tolist())
        self.blocks = None
        return 0

    cdef int make_frames(self, Window window, list items, Py_ssize_t count, object given, object failure) except -1:
        """Make passes of a batch after all: the node was called with it."""
        cdef Py_ssize_t i
        cdef list frames = []
        cdef Frame frame
        for i in range(count):
            self.begin_pass()
            self.fed += 1
            self.index = self.fed
            frame = self.leave_at(0)
            frame.calls = True
            frame.given = frame.item = items[i] if i < len(items) else None  # the node may have shortened the input
            frame.error = None
            frame.copied_ns = 0
            frames.append(frame)
            window.append(frame)
        self.forget_pass()
        self.frames_of_batch(window)
        if failure is not None:
            self.fail_batch(window, frames, failure)
        else:
            self.settle_batch(window, frames, given)
        return 0

    cdef Py_ssize_t bulk_count(self, Window window) except -1:
        """How many of the next items of the input list are a batch; 0 if one of them is no item, or something waits."""
        cdef Py_ssize_t count = min(<Py_ssize_t> window.calls, PySequence_Fast_GET_SIZE(self.source) - self.cursor_at)
        cdef Py_ssize_t i
        cdef PyObject* item
        cdef PyTypeObject* sound = NULL  # the type of the item before: most have the same
        if window.count or window.paused is not None or self.spool or self.held is not None:
            return 0
        for i in range(count):
            item = PySequence_Fast_GET_ITEM(self.source, self.cursor_at + i)
            if Py_TYPE(<object> item) != sound:
                if <object> item is None or is_lazy(<object> item):
                    return 0
                sound = Py_TYPE(<object> item)
        return max(count, 0)

    cdef int keep_outputs(self, list outputs) except -1:
        """Emit the outputs of a batch; 1 if one of them is none, and nothing was emitted."""
        cdef Step* step = self.steps + self.plan.cuts[0].step
        cdef Py_ssize_t filtered = 0
        cdef list results = self.results
        cdef PyTypeObject* sound = NULL
        cdef PyObject* output
        cdef Py_ssize_t i
        global Failed
        if Failed is None:
            from remotemedia.batching import Failed
        for i in range(len(outputs)):
            output = PyList_GET_ITEM(outputs, i)
            if Py_TYPE(<object> output) != sound:
                if <object> output is None:
                    filtered += 1
                    continue
                if is_lazy(<object> output) or type(<object> output) is Failed:
                    return 1
                sound = Py_TYPE(<object> output)
        if filtered == 0:
            results.extend(outputs)
        else:
            for item in outputs:
                if item is not None:
                    results.append(item)
        step.passed += len(outputs) - filtered
        step.filtered += filtered
        return 0
