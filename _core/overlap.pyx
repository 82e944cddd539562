"""Where calls overlap: passes are left at the cuts of the program, and what goes on next is chosen. Read `cuts` first.

The loop (`engine.Run.drive`) works for one pass at a time. A pass that comes to a cut becomes a frame in the window of
that cut, and the loop comes to SCHEDULE, which takes up what can go on: the pass that is first in a window and whose
call is at an end, the later cuts first, so that what is nearest to its end leaves; else the feed, as long as there is
room; else the run waits (`Bell`). The order of what comes out is that of a sequential run:

- Each window is a queue, so at every step passes come one after the other in the order in which they were fed.
- What is emitted before the last cut goes along with its pass (`posts`). An opener that hands on while passes of its
  outputs are under way puts their frames among its own posts, to be opened when they are at their end.
- An error that ends the run waits (`held`) until the passes before it are at their end: one of them may fail, too,
  and is the one that a sequential run would have met. Passes behind it go no further.

All of this is on the way of an item only where a plan is cut.
"""

from collections import deque

from cpython.time cimport perf_counter_ns

from remotemedia._core.crew cimport Crew
from remotemedia._core.histogram cimport count_call
from remotemedia._core.plan cimport BATCH, COPY, END_OF_PASS, HANDOVER, OFFLOAD, OFFLOAD_MANY, Cut, Move, Plan, Step
from remotemedia._core.run cimport AGAIN, FEED_NONE, STAGE_IDLE, STAGE_PRODUCE, SUSPENDED, RunState
from remotemedia._core.window cimport (
    OVERFLOW_BLOCK, OVERFLOW_DROP_NEWEST, OVERFLOW_ERROR, Bell, Frame, Overflow, Window,
)

from remotemedia.errors import NodeError, QueueFullError, SessionClosedError

cdef int SPOOL_ROOM = 1000  # what may be emitted by later passes while an opener's pass is under way, beside the windows


cdef Window new_window(OverlapState run, int k):
    """The window of a cut."""
    cdef Cut* cut = run.plan.cuts + k
    cdef Window window = Window.__new__(Window)
    window.capacity = cut.capacity
    window.calls = cut.calls
    window.overflow = <Overflow> cut.overflow
    window.streams = cut.streams
    window.batch = cut.batch
    window.wait_ns = cut.wait_ns
    run.has_batches = run.bell.batches = run.has_batches or cut.batch
    window.many = run.plan.steps[cut.step].op == OFFLOAD_MANY
    window.timed = run.timed
    if cut.threaded and run.plan.limits is not None and run.plan.limits[cut.node] is not None:
        window.limit_ns = <int64_t> (run.plan.limits[cut.node].get("process", 0) * 1_000_000)
        run.has_limits = run.has_limits or window.limit_ns > 0
    window.node = run.nodes[cut.node]
    window.bell = run.bell
    window.number = k
    if cut.threaded:
        if run.crew is None:
            run.crew = Crew.__new__(Crew)
            run.crew.windows = []
            run.crew.threads = []
            run.crew.sleepers = []
        window.crew = run.crew
        window.crew.windows.append(window)
        window.crew.most += window.calls
    else:
        window.sleepers = []
        window.workers = []
    return window


cdef int64_t soonest(int64_t a, int64_t b) noexcept:
    """The shorter of two waits, of which -1 is none."""
    return b if a < 0 else a if b < 0 else min(a, b)


cdef class OverlapState(RunState):
    """What a run does at the steps of `cuts`."""

    cdef int open_windows(self) except -1:
        """Make the windows of a new run."""
        cdef int k
        self.bell = Bell.__new__(Bell)
        self.bell.part = -1
        self.spool = deque()
        self.windows = [new_window(self, k) for k in range(self.plan.cut_count)]
        self.link_windows()
        self.part = self.batch_of = -1
        return 0

    cdef int link_windows(self) except -1:
        """Let windows know where their passes go on without the run; not if that is timed."""
        cdef int k
        self.bell.halted = False
        for k in range(self.plan.cut_count):
            if self.plan.cuts[k].onward >= 0 and not self.timed:
                (<Window> self.windows[k]).onward = self.windows[self.plan.cuts[k].onward]
        return 0

    cdef int begin_overlap(self) except -1:
        """Begin a call into the run."""
        self.fed_out = self.draining = False
        self.climb = -1
        self.passes = 0
        if self.feeder is not None:  # of the call before: the context of the next is another
            self.feeder.dismiss()
            self.feeder = None
        self.others = []
        self.forget_pass()
        return 0

    cdef int forget_pass(self) except -1:
        """No pass is under way."""
        self.part = -1
        self.bell.part = -1
        self.frame = None
        self.path = None
        self.posts = None
        self.made = 0
        return 0

    # --- leaving a pass --------------------------------------------------------------------------------------------------

    cdef int offload(self, Step* step, object item) except -1:
        """Leave the pass at a cut, to go on when its node was called with `item`; `pc` says what goes on meanwhile."""
        cdef Window window = self.windows[step.arg]
        cdef Frame frame
        if window.overflow != OVERFLOW_BLOCK and window.queued + window.running >= window.capacity + window.calls:
            if self.drop_for(step, window):
                return self.leave(step.arg, step.skip)
        if window.crew is not None and len(window.crew.threads) == window.crew.left:
            window.crew.hire()  # if that fails, then before anything waits for it
        frame = self.leave_at(step.arg)
        frame.calls = True
        frame.given = item
        frame.item = item
        frame.error = None
        frame.copied_ns = 0
        if self.timed and not step.active:  # the time of a call that lands is its own
            frame.copied_ns = step.times.call_ns
            step.times.call_ns = 0
        window.append(frame)
        if window.crew is not None:
            window.crew.staff()
        return self.owner_goes_on(step.arg)

    cdef int drop_for(self, Step* step, Window window) except -1:
        """Make room for an item; whether it is itself the one that is dropped."""
        cdef int edge = self.plan.cuts[step.arg].edge
        cdef Frame victim
        if window.overflow == OVERFLOW_ERROR:
            ids = self.plan.graph.ids
            raise QueueFullError(
                f"{window.capacity} items wait for node {ids[step.node]!r} (capacity), and overflow is 'error'"
            )
        self.lost[edge] += 1
        if window.overflow == OVERFLOW_DROP_NEWEST:
            return True
        victim = window.oldest()
        window.drop(victim)
        victim.pc = step.skip
        victim.item = victim.given = None
        if victim.moved is None and victim.posts is None and self.leads_to_end(step.skip):
            victim.ended = True
            window.unlink(victim)
        return False

    cdef bint is_before_call(self, Step* step) noexcept:
        """The same where calls overlap: an item that meets a full queue did not come to its call, either."""
        if step.op == OFFLOAD or step.op == OFFLOAD_MANY:
            return self.part != step.arg  # else it landed
        return step.op == COPY or step.op == BATCH

    cdef bint leads_to_end(self, int pc) noexcept:
        """Whether nothing is left to be done from a step on for a pass without an item."""
        cdef Step* step = self.steps + pc
        while step.op == HANDOVER:
            step = self.steps + step.skip
        return step.op == END_OF_PASS

    cdef int leave(self, int k, int pc) except -1:
        """Leave the pass at cut `k` without a call."""
        cdef Window window = self.windows[k]
        cdef Cut* cut = self.plan.cuts + k
        cdef Frame frame
        cdef list moved = self.take_items(cut)
        if moved is None and (self.plan.one_source or self.leads_to_end(pc)):  # it has nothing left
            if cut.head >= 0 and not self.is_in_loop(cut.head):  # an opener's output that came to nothing
                self.pc = cut.head
                return 0
            if self.posts is None or self.posts is self.spool or self.path is not None:
                return self.end_pass()
        frame = self.leave_at(k)
        frame.moved = moved
        frame.calls = False
        frame.pc = pc
        frame.item = None
        window.append(frame)
        return self.owner_goes_on(k)

    cdef bint is_in_loop(self, int head) noexcept:
        """Whether the pass under way is one of the loop with this head, and was at a cut of it."""
        return self.part >= 0 and self.plan.cuts[self.part].head == head

    cdef Frame leave_at(self, int k):
        """Return the frame of the pass under way, or of the new pass that it opens where it is the owner of the loop."""
        cdef Cut* cut = self.plan.cuts + k
        cdef Frame frame
        if cut.head >= 0 and not self.is_in_loop(cut.head):
            frame = Frame.__new__(Frame)
            frame.path = ((self.serial,) if self.path is None else self.path) + (self.made,)
            self.made += 1
            if self.posts is None:
                self.posts = []
            self.posts.append(frame)
        else:
            frame = self.frame
            if frame is None:
                frame = Frame.__new__(Frame)
            self.frame = None
            frame.path = self.path
            frame.made = self.made
            frame.posts = None if self.posts is self.spool else self.posts
            frame.input_item = self.input_item
        frame.serial = self.serial
        frame.index = self.index
        frame.moved = self.take_items(cut)
        return frame

    cdef int owner_goes_on(self, int k) except -1:
        """Choose what goes on when a pass was left at cut `k`: who opened it, if that is a node, else what can."""
        cdef int head = self.plan.cuts[k].head
        if head < 0 or self.is_in_loop(head):
            self.forget_pass()
            self.pc = self.plan.schedule_at
        elif (<Window> self.windows[k]).has_room():
            self.pc = head
        else:
            self.pause(k, head)
        return 0

    cdef int wait_at_barrier(self, Step* step) except -1:
        """Go on only if all passes of the loops behind are at their end."""
        if self.is_free(-1 - step.arg):
            self.pc = step.skip
        else:
            self.pause(-1 - step.arg, step.skip)
        return 0

    cdef int pause(self, int needs, int pc) except -1:
        """Let the pass under way wait where it is; what waits for it on connections is touched by no other."""
        cdef Frame frame = self.frame
        if frame is None:
            frame = Frame.__new__(Frame)
        frame.needs = needs
        frame.pc = pc
        frame.index = self.index
        frame.serial = self.serial
        frame.path = self.path
        frame.made = self.made
        frame.posts = self.posts
        frame.input_item = self.input_item
        if self.part >= 0:
            (<Window> self.windows[self.part]).paused = frame
        else:
            self.feeding = frame
        self.forget_pass()
        self.pc = self.plan.schedule_at
        return 0

    cdef int end_pass(self) except -1:
        """The pass under way is at its end."""
        if self.frame is not None and self.path is not None:
            self.frame.posts = self.posts
            self.frame.ended = True
        elif self.posts is not None and self.posts is not self.spool:
            self.spool.extend(self.posts)
        self.forget_pass()
        self.pc = self.plan.schedule_at
        return 0

    cdef int post(self, Step* step, object item) except -1:
        """Keep what was emitted until it is its turn."""
        if self.posts is None:
            self.posts = []
        self.posts.append((step.node, step.arg, item))
        return 0

    cdef list take_items(self, Cut* cut):
        """Take what waits on connections over a cut; None if nothing does."""
        cdef Move* move = self.plan.moves + cut.moves
        cdef Move* end = self.plan.moves + cut.moves_end
        cdef list moved = None
        cdef Py_ssize_t i = 0
        while move < end:
            if move.queued:
                item = self.queues[move.source]
                if item:
                    self.queues[move.source] = []
                else:
                    item = None
            else:
                item = self.waiting[move.source]
                self.waiting[move.source] = None
            if item is not None:
                if moved is None:
                    moved = [None] * (cut.moves_end - cut.moves)
                moved[i] = item
            move += 1
            i += 1
        return moved

    cdef int put_items(self, Cut* cut, list moved) except -1:
        """Let wait behind a cut what was taken before it."""
        cdef Move* move
        cdef Py_ssize_t i
        for i in range(cut.moves_end - cut.moves):
            move = self.plan.moves + cut.moves + i
            if move.queued:
                self.queues[move.target] = [] if moved[i] is None else moved[i]
            else:
                self.waiting[move.target] = moved[i]
        return 0

    # --- taking up a pass ------------------------------------------------------------------------------------------------

    cdef int enter(self, Frame frame, int part) except -1:
        """Make a pass that was left the one under way, behind cut `part`."""
        self.part = part
        self.bell.part = part
        self.frame = frame
        self.index = frame.index
        self.serial = frame.serial
        self.path = frame.path
        self.made = frame.made
        self.posts = frame.posts
        frame.posts = None
        if frame.path is None:
            self.input_item = frame.input_item
            if part == self.plan.last_cut and self.posts is not self.spool:
                if self.posts is not None:
                    self.spool.extend(self.posts)
                self.posts = self.spool
        return 0

    cdef int begin_pass(self) except -1:
        """Begin the pass of what is fed next."""
        self.forget_pass()
        self.serial = self.passes
        self.passes += 1
        if self.plan.last_cut < 0:
            self.posts = self.spool
        return 0

    cdef int enter_program(self, int u, int pc, int loop, int k) except -1:
        """Begin the pass of `carried`, which comes from node `u`, at step `pc`, in this loop and behind this cut."""
        cdef Plan plan = self.plan
        cdef Frame frame
        self.begin_pass()
        self.climb = loop
        self.pc = pc
        if self.climb >= 0:  # everything before it is at its end
            self.part = k if k >= 0 and plan.cuts[k].head == self.climb else -1
            self.posts = self.spool
            self.draining = True
            return 0
        if k < 0:
            return 0
        frame = Frame.__new__(Frame)
        frame.serial = self.serial
        frame.index = self.index
        frame.pc = self.pc
        frame.item = self.carried
        self.carried = None
        (<Window> self.windows[k]).append(frame)
        self.forget_pass()
        self.pc = plan.schedule_at
        return 0

    cdef int goes_through_first(self, bint begins) except -1:
        """Whether passes are to go on before the feed does; `begins` is when the next node is to be flushed or pulled.

        A pass that began in a loop is followed by one that begins at the head of that loop, and so on outwards: what
        is behind the loop may have got items out of it.
        """
        cdef list nodes = self.plan.producers if self.stage == STAGE_PRODUCE else self.plan.flushers
        self.draining = False
        if self.climb >= 0:
            self.begin_pass()
            self.posts = self.spool
            self.pc = self.climb
            self.climb = self.plan.outer_loops[self.climb]
            self.draining = True
            return True
        if self.stage == STAGE_IDLE or not self.in_flight():
            return False
        if begins or self.plan.entry_loop[<int> nodes[self.flush_at]] >= 0:
            self.draining = True
            self.pc = self.plan.schedule_at
            return True
        return False

    # --- what goes on next -----------------------------------------------------------------------------------------------

    cdef int schedule(self) except -1:
        """Find what goes on next: a `Choice`, 1 if there is an item to hand out, or SUSPENDED."""
        cdef int choice, k
        cdef int64_t wait_ns
        if self.on_loop and self.bell.loop is None:
            from asyncio import get_running_loop

            self.bell.loop = get_running_loop()
        if self.batch_of >= 0:
            if self.finish_batch() == SUSPENDED:
                return SUSPENDED
        elif self.pending is not None:
            if self.thrown is not None and self.aside is not None:  # for the input, which would be awaited
                self.pending = None
                self.take_back()
                return CHOICE_FEED
            if self.go_on() == SUSPENDED:
                return SUSPENDED
            self.take_outcome()
            self.bell.disarm()
        while True:
            if self.stop_asked:
                self.tick()
            if self.interrupts is not None and self.interrupt_windows():
                return AGAIN
            wait_ns = self.expire_calls() if self.has_limits else -1
            if self.hand_out():
                return 1
            if self.has_batches:
                k = self.full_batch()
                if k >= 0:
                    if self.call_batch(k) == SUSPENDED:
                        return SUSPENDED
                    continue
            choice = self.choose()
            if self.has_batches:
                if choice == CHOICE_FEED and self.feed_batch():
                    continue
                if choice == 0:
                    k = self.partial_batch()
                    if k >= 0:
                        if self.call_batch(k) == SUSPENDED:
                            return SUSPENDED
                        continue
                    wait_ns = soonest(wait_ns, self.batch_wait())
            if choice == 0:
                self.bell.arm()
                choice = self.choose()
                if choice != 0:
                    self.bell.disarm()
            if choice != 0:
                return choice
            if self.on_loop:
                if wait_ns >= 0:
                    self.bell.arm_timer(wait_ns)
                self.pending = self.bell.future.__await__()
                self.pending_of = -1
                if self.go_on() == SUSPENDED:
                    return SUSPENDED
                self.take_outcome()
            elif not self.stop_asked:
                self.bell.wait(wait_ns)  # an interrupt ends it
            self.bell.disarm()

    cdef int interrupt_windows(self) except -1:
        """Drop what is asked for of what was left; whether that is everything, which `advance` does."""
        cdef list asked = self.interrupts
        cdef Window window
        cdef int k
        self.interrupts = None
        self.bell.halted = self.bell.halted or -1 in asked
        for k in range(self.plan.cut_count):
            window = self.windows[k]
            if -1 in asked:
                self.count_left(k)
            elif self.plan.cuts[k].node in asked:
                window.interrupt()
        if -1 not in asked:
            return False
        self.dropping = True
        return True

    cdef int count_left(self, int k) except -1:
        """Count what is dropped on its way to a call, or from it, as filtered: it was fed, and comes to nothing (R14)."""
        cdef Step* step = self.steps + self.plan.cuts[k].step
        cdef Window window = self.windows[k]
        cdef Frame frame = window.head
        while frame is not None:
            if frame.calls:
                if window.batch and frame.error is not None:  # of a batch all failed, though the first ended the run
                    step.failed += 1
                else:
                    step.filtered += 1
                if step.times is not NULL:
                    count_call(step.times)
            frame = frame.behind
        return 0

    cdef int64_t expire_calls(self) except -2:
        """Give up calls in threads that have taken too long; how long until the next has, -1 for none."""
        cdef int64_t now = perf_counter_ns()
        cdef int64_t first = -1
        cdef int64_t at
        cdef Window window
        for window in self.windows:
            at = window.next_expiry(now)
            if at and now > at:
                window.expire(now)
                at = window.next_expiry(now)
            if at and (first < 0 or at < first):
                first = at
        return -1 if first < 0 else max(first - now, 0) + 1

    cdef int choose(self) except -1:
        """Choose what goes on; 0 if nothing can."""
        cdef Plan plan = self.plan
        cdef Window window
        cdef Frame frame
        cdef int k, behind
        cdef bint waits = False  # something goes on by itself
        for k in range(plan.cut_count - 1, -1, -1):
            window = self.windows[k]
            frame = window.paused
            if frame is not None and not self.is_later(frame):
                if self.is_free(frame.needs):
                    window.paused = None
                    self.enter(frame, k)
                    self.pc = frame.pc
                    return CHOICE_GO_ON
                waits = True
            if window.onward is not None and window.head is not None and self.held is None:
                waits = True
                window.relay(False)
            frame = window.head
            if frame is None or self.is_later(frame):
                continue
            waits = True
            behind = plan.cuts[k].behind
            if window.paused is None and frame.done and (behind < 0 or (<Window> self.windows[behind]).has_room()):
                if k == plan.last_cut and frame.posts is not None:  # before what it emits from here on
                    self.spool.extend(frame.posts)
                    frame.posts = None
                    if self.hand_out():
                        return 1
                window.leave()
                self.enter(frame, k)
                if frame.moved is not None:
                    self.put_items(plan.cuts + k, frame.moved)
                    frame.moved = None
                if frame.calls:
                    self.landed = frame
                    self.pc = plan.cuts[k].step
                    return CHOICE_LAND
                self.carried = frame.item
                frame.item = None
                self.pc = frame.pc
                return CHOICE_GO_ON
        frame = self.feeding
        if frame is not None and not self.is_later(frame):
            if self.is_free(frame.needs):
                self.feeding = None
                self.enter(frame, -1)
                self.pc = frame.pc
                return CHOICE_GO_ON
            waits = True
        if self.held is not None:
            return 0 if waits else self.raise_held()
        if self.feeding is None and not self.fed_out and not self.draining and self.may_feed():
            if self.aside is None:
                self.begin_pass()
                return CHOICE_FEED
            if self.aside_for.done():
                self.take_back()
                self.begin_pass()
                return CHOICE_FEED
            return 0
        if waits or self.aside is not None:
            return 0
        return CHOICE_OVER

    cdef int may_feed(self) except -1:
        """Whether there is room for one more pass."""
        cdef Plan plan = self.plan
        cdef int k = plan.first_cut
        cdef list nodes
        if plan.is_nested and len(self.spool) > SPOOL_ROOM:
            return False
        if self.feed == FEED_NONE:
            nodes = plan.producers if self.stage == STAGE_PRODUCE else plan.flushers
            if self.flush_at < len(nodes) and plan.entry_cut[<int> nodes[self.flush_at]] >= 0:
                k = plan.entry_cut[<int> nodes[self.flush_at]]
        return k < 0 or (<Window> self.windows[k]).has_room()

    cdef int is_free(self, int needs) except -1:
        """Whether a paused pass can go on."""
        cdef Window window
        if needs >= 0:
            return (<Window> self.windows[needs]).has_room()
        for k in self.plan.barriers[-1 - needs]:
            window = self.windows[k]
            if window.count or window.paused is not None:
                return False
        return True

    cdef int in_flight(self) except -1:
        """Whether a pass is left somewhere, or something is still to be handed out."""
        cdef Window window
        if self.spool or self.feeding is not None:
            return True
        for window in self.windows:
            if window.count or window.paused is not None:
                return True
        return False

    cdef int hand_out(self) except -1:
        """Emit what is at its turn; whether there is an item for a stream."""
        cdef object spool = self.spool
        cdef Frame frame
        while spool:
            entry = spool[0]
            if type(entry) is Frame:
                frame = entry
                if not frame.ended:
                    return False
                spool.popleft()
                if frame.failed:
                    spool.clear()
                if frame.posts is not None:
                    spool.extendleft(reversed(frame.posts))
                    frame.posts = None
                continue
            spool.popleft()
            node, output, item = entry
            if self.streaming:
                self.out_node = node
                self.out_item = item
                return True
            self.results.append(item)
            if output >= 0:
                (<list> self.outputs[output]).append(item)
        return False

    # --- batches: see `batches` ------------------------------------------------------------------------------------------

    cdef int full_batch(self) except -2:
        return -1

    cdef int partial_batch(self) except -2:
        return -1

    cdef int64_t batch_wait(self) except -2:
        return -1

    cdef int call_batch(self, int k) except -1:
        return 0

    cdef int finish_batch(self) except -1:
        return 0

    cdef bint feed_batch(self) except -1:
        return False

    cdef int forget_batch(self) except -1:
        return 0

    # --- errors ----------------------------------------------------------------------------------------------------------

    cdef tuple place_of(self, Frame frame):
        """Where a pass stands in the order of a sequential run."""
        return ((frame.serial,) if frame.path is None else frame.path) + (frame.made,)

    cdef int is_later(self, Frame frame) except -1:
        """Whether a sequential run would not have come to a pass."""
        return self.held is not None and self.place_of(frame) > self.held_at

    cdef int holds(self, object error) except -1:
        """Whether an error is to wait for the passes before it."""
        return self.windows is not None and self.held is not error and not (
            self.stop_asked and isinstance(error, SessionClosedError)
        )

    cdef int hold(self, object error, bint of_feed) except -1:
        """Let an error that ends the run wait for the passes before the one under way, or before what is fed next."""
        cdef tuple place
        if of_feed:
            self.begin_pass()
        self.raw = False
        place = ((self.serial,) if self.path is None else self.path) + (self.made,)
        if self.held is None or place < self.held_at:
            if self.held is not None:
                self.others.append(self.held)
            self.held = error
            self.bell.halted = True
            self.held_at = place
            self.held_posts = None
            if self.path is not None and self.frame is not None:
                self.frame.posts = self.posts
                self.frame.ended = self.frame.failed = True
            elif self.posts is not self.spool:
                self.held_posts = self.posts
        else:
            self.others.append(error)
        self.forget_pass()
        self.pc = self.plan.schedule_at
        return 0

    cdef int raise_held(self) except -1:
        """Raise the error that is held, for nothing before it is left."""
        cdef Window window
        cdef Frame frame
        if self.feeding is not None:
            self.open_owner(self.feeding)
        for window in self.windows:
            if window.paused is not None:
                self.open_owner(window.paused)
            frame = window.head
            while frame is not None:
                self.open_owner(frame)
                frame = frame.behind
        if self.held_posts:
            self.spool.extend(self.held_posts)
        self.held_posts = None
        if self.hand_out():
            return 1
        raise self.held

    cdef int open_owner(self, Frame frame) except -1:
        """Let a pass hand out what it emitted before it opened the one that failed, which is nothing more to it."""
        cdef tuple path = (frame.serial,) if frame.path is None else frame.path
        if frame.posts is None or frame.posts is self.spool or self.held_at[:len(path)] != path:
            return 0
        if frame.path is not None:
            frame.ended = True
        else:
            self.spool.extend(frame.posts)
            frame.posts = None
        return 0

    cdef list other_failures(self):
        """What failed in passes behind the error that ended the run (R34), and of calls that were under way."""
        cdef list others = [error for error in self.others if isinstance(error, NodeError)]
        cdef Window window
        cdef Frame frame
        cdef int k
        for k in range(self.plan.cut_count):
            window = self.windows[k]
            frame = window.head
            while frame is not None:
                if frame.calls and isinstance(frame.error, Exception):
                    index = None if frame.index < 0 else frame.index
                    others.append(self.node_error(self.plan.cuts[k].node, "process", frame.error, index, frame.given))
                frame = frame.behind
        return others

    # --- the input, while passes go on -----------------------------------------------------------------------------------

    cdef object apart(self, object giver, str method, object given):
        """Return what awaits, in a task of its own, what a `method` gave that feeds the run; see `feed_task`."""
        from remotemedia.workers import to_await

        if isinstance(self.ended_by, GeneratorExit):  # nothing is waited for
            return given
        if self.feeder is None:
            from remotemedia.feed_task import FeedTask

            self.feeder = FeedTask()
        return self.feeder.run(to_await(giver, given, method))

    cdef int set_aside(self) except -1:
        """Go on with the passes while the input is awaited; whether there are any.

        What it waits for is not handed to the event loop but watched, beside the windows.
        """
        yielded = self.yielded
        if not self.in_flight():
            return False
        if yielded is None:
            future = self.bell.loop.create_future()
            self.bell.loop.call_soon(self.bell.wake, future)
        elif getattr(yielded, "_asyncio_future_blocking", None):
            yielded._asyncio_future_blocking = False
            future = yielded
        else:
            return False
        future.add_done_callback(self.bell.look)
        self.yielded = None
        self.aside = self.pending
        self.aside_for = future
        self.pending = None
        self.forget_pass()
        self.pc = self.plan.schedule_at
        return True

    cdef int take_back(self) except -1:
        """Await the input again."""
        self.pending = self.aside
        self.pending_of = -1
        self.aside = None
        if not self.aside_for.done():
            self.aside_for.cancel()
        self.aside_for = None
        return 0

    # --- the end ---------------------------------------------------------------------------------------------------------

    cdef int close_windows(self) except -1:
        """Let go of all passes, and let calls under way come to their end: those that are awaited are cancelled."""
        cdef Window window
        cdef int k
        cdef int64_t wait_ns
        cdef list tasks = []
        if self.aside is not None and not self.dropping:
            self.take_back()
            if self.close_pending() == SUSPENDED:
                return SUSPENDED
        if self.feeder is not None and not self.dropping and (self.generator is None or self.feeder.is_busy):
            tasks += self.feeder.close()  # else it is to close the generator, next
            self.feeder = None
        if self.crew is not None:
            self.crew.close()
        for window in self.windows:
            window.close()
            if window.crew is None:
                tasks += window.workers
                window.workers = []
        if tasks:
            from remotemedia.workers import quit_tasks

            self.begin_await(self.plan.cuts[0].node, "aclose", quit_tasks(tasks))
            self.closing = True
            if self.finish_closing() == SUSPENDED:
                return SUSPENDED
        if not self.threads_left and not self.dropping and self.crew is not None and self.crew.is_busy():
            self.threads_left = True  # who interrupts the wait does not wait again: no thread can be killed
            if self.on_loop:
                from remotemedia.workers import until_idle

                self.begin_await(self.plan.cuts[0].node, "aclose", until_idle(self.listen))
                self.closing = True
                if self.finish_closing() == SUSPENDED:
                    return SUSPENDED
            else:
                wait_ns = self.arm_for_threads()
                while wait_ns >= -1:
                    self.bell.wait(wait_ns)
                    wait_ns = self.arm_for_threads()
        self.bell.disarm()
        if self.others is not None:
            self.others = self.other_failures()
        if self.crew is not None:
            self.crew.join()
            self.crew = None
        for k in range(self.plan.cut_count):
            window = self.windows[k]
            if not self.dropping:
                self.count_left(k)
            window.forget()
            self.windows[k] = new_window(self, k)
            (<Window> self.windows[k]).function = window.function
            self.steps[self.plan.cuts[k].step].passed += window.relayed
        self.link_windows()
        self.threads_left = False
        self.spool.clear()
        self.feeding = self.landed = None
        self.forget_batch()
        self.held = self.held_posts = None
        self.climb = -1
        self.forget_pass()
        return 0

    cdef int forget_windows(self) except -1:
        """Break the cycle of windows and threads, which has the nodes."""
        cdef Window window
        if self.feeder is not None:
            self.feeder.dismiss()
        self.feeder = None
        for window in self.windows:
            window.forget()
            window.node = window.function = None
        if self.crew is not None:
            self.crew.windows = []
        self.crew = None
        return 0

    cdef int64_t arm_for_threads(self) except -3:
        """Begin to wait for the calls in threads, but for those that take too long; what `expire_calls` says, or -2: none."""
        cdef int64_t wait_ns
        self.bell.disarm()
        self.bell.arm()
        wait_ns = self.expire_calls() if self.has_limits else -1
        return -2 if self.crew is None or not self.crew.is_busy() else wait_ns

    def listen(self):
        """Return what is to be awaited until calls in threads are at their end; None if none is under way."""
        cdef int64_t wait_ns = self.arm_for_threads()
        if wait_ns >= 0:
            self.bell.arm_timer(wait_ns)
        return None if wait_ns == -2 else self.bell.future
