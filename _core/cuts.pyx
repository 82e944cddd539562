"""A program is cut behind the nodes whose calls overlap; read `plan` first. Used by no other plan.

At a *cut*, the call of such a node (OFFLOAD), the pass that comes there is left: it waits in the node's window
(`window`) for its call and its turn. Who brought it goes on at the head of the loop that the cut is in, with the next
pass: the run with the next input item, an opener with its next output. So a pass is always taken up again where the
program says, and passes keep their order at each cut, because *every* way over a cut leads through its window: a jump
from before a cut to behind it is led over a step of its own, HANDOVER, which leaves the pass without a call.

The other steps that the program gets:

- SCHEDULE, where what goes on next is chosen. Every pass that is at its end or left at a cut leads there.
- END_OF_PASS, in place of the jump back to the head of its loop behind a cut: who brought the pass is further already.
- POST in place of EMIT: what is emitted waits for the passes before it.
- BARRIER behind a loop with a cut in it whose nodes feed a merge further on: all of its passes are to be at their end.

What waits on a connection that leads over a cut goes with the pass. A connection has a place of its own for each part
of the program between two of its cuts, since these parts work for different passes.
"""

from bisect import bisect_left, bisect_right

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.string cimport memset

from remotemedia._core.plan cimport (
    BARRIER, EMIT, END, END_OF_PASS, HANDOVER, JOIN, JUMP, MERGE, OFFLOAD, OFFLOAD_MANY, POST, PUSH, PUT, SCHEDULE,
    TAKE, Branch, Cut, Move, Plan, Step,
)

cdef int RUN = -1  # the loop that FETCH is the head of


cdef class Cutter:
    """Rewrites the program of one plan."""

    cdef Plan plan
    cdef int length           # steps before anything was added
    cdef int room             # steps that there is room for
    cdef int* loop_of         # [length] head of the innermost loop that a step is in, or RUN
    cdef int* end_of          # [length] last step of the loop that a step is the head of, or 0
    cdef int* put_at          # [m] step that leaves an item on a connection, or -1
    cdef int* take_at         # [m] step that takes it from there
    cdef dict stubs           # steps added: what they are -> where
    cdef dict ways            # (cut, target) -> first step of the way over the cut
    cdef dict first_in        # loop -> position of the first cut that is in it, and in no loop inside of it
    cdef list cut_steps       # positions of the cuts, in order

    def __init__(self, Plan plan not None):
        cdef int m = plan.graph.connection_count
        self.plan = plan
        self.length = self.room = plan.step_count
        self.stubs = {}
        self.ways = {}
        self.first_in = {}
        self.cut_steps = []
        self.loop_of = <int*> PyMem_Calloc(2 * self.length + 2 * m + 1, sizeof(int))
        if self.loop_of is NULL:
            raise MemoryError
        self.end_of = self.loop_of + self.length
        self.put_at = self.end_of + self.length
        self.take_at = self.put_at + m
        memset(self.put_at, 0xff, 2 * m * sizeof(int))  # -1 everywhere

    def __dealloc__(self):
        PyMem_Free(self.loop_of)

    def rewrite(self):
        """Do it."""
        cdef Plan plan = self.plan
        cdef int p
        self.find_loops()
        self.find_connections()
        for p in range(self.length):
            if plan.steps[p].op in (OFFLOAD, OFFLOAD_MANY):
                self.cut_steps.append(p)
        self.make_cuts()
        self.move_items()
        plan.schedule_at = self.add(SCHEDULE, -1, 0, -1)
        plan.end_at = self.add(END_OF_PASS, -1, 0, -1)
        for p in range(self.length):
            self.lead(p)
        self.place_entries()
        self.place_emits()
        self.place_barriers()
        plan.is_cut = True

    # --- what the program is ---------------------------------------------------------------------------------------------

    cdef int find_loops(self) except -1:
        """Find the loops by their jumps back, inner ones first."""
        cdef Step* steps = self.plan.steps
        cdef int p, head, inner
        cdef list heads = [], open_heads = []
        for p in range(self.length - 1, 0, -1):  # not END, which leads to FETCH
            for head in (steps[p].skip, steps[p].arg if steps[p].op == JUMP else -1):
                if 0 < head < p:
                    self.end_of[head] = max(self.end_of[head], p, self.end_of[p])
        for p in range(self.length - 1, -1, -1):  # a loop may end where one inside of it does
            if self.end_of[p]:
                for inner in heads:
                    if p < inner <= self.end_of[p]:
                        self.end_of[p] = max(self.end_of[p], self.end_of[inner])
                heads.append(p)
        head = RUN
        for p in range(self.length):
            while head != RUN and self.end_of[head] < p:
                head = open_heads.pop()
            self.loop_of[p] = head
            if self.end_of[p]:
                open_heads.append(head)
                head = p
        return 0

    cdef int find_connections(self) except -1:
        """Find where each connection is filled and emptied."""
        cdef Plan plan = self.plan
        cdef Step* step
        cdef int p, k
        for p in range(self.length):
            step = plan.steps + p
            if step.op == PUT or step.op == PUSH:
                self.put_at[step.arg] = p
            elif step.op == TAKE:
                self.take_at[step.arg] = p
            elif step.op == JOIN or step.op == MERGE:
                for k in range(plan.branch_heads[step.arg], plan.branch_heads[step.arg + 1]):
                    self.take_at[plan.branches[k].edge] = p
        return 0

    cdef bint is_in(self, int p, int loop) noexcept:
        """Whether step `p` is in the loop, at any depth."""
        return loop == RUN or loop < p <= self.end_of[loop]

    # --- the cuts --------------------------------------------------------------------------------------------------------

    cdef int make_cuts(self) except -1:
        cdef Plan plan = self.plan
        cdef Cut* cut
        cdef int k, p
        cdef dict last = {}
        plan.cut_count = len(self.cut_steps)
        plan.cuts = <Cut*> PyMem_Calloc(plan.cut_count, sizeof(Cut))
        plan.entry_cut = <int*> PyMem_Calloc(4 * plan.graph.node_count, sizeof(int))
        if plan.cuts is NULL or plan.entry_cut is NULL:
            raise MemoryError
        plan.entry_loop = plan.entry_cut + plan.graph.node_count
        plan.batch_cut = plan.entry_loop + plan.graph.node_count
        plan.batch_loop = plan.batch_cut + plan.graph.node_count
        plan.first_cut = -1
        for k, p in enumerate(self.cut_steps):
            cut = plan.cuts + k
            cut.step = p
            cut.node = plan.steps[p].node
            cut.head = self.loop_of[p]
            cut.behind = -1
            plan.steps[p].arg = k
            self.first_in.setdefault(cut.head, p)
            if cut.head in last:
                plan.cuts[<int> last[cut.head]].behind = k
            elif cut.head == RUN:
                plan.first_cut = k
            last[cut.head] = k
            plan.is_nested = plan.is_nested or cut.head != RUN
        plan.last_cut = last.get(RUN, -1)
        return 0

    cdef list crossed(self, int p, int q):
        """The cuts between the steps `p` and `q`, each in a loop that both are in."""
        cdef Plan plan = self.plan
        return [
            k for k in range(bisect_right(self.cut_steps, p), bisect_left(self.cut_steps, q))
            if self.is_in(p, plan.cuts[k].head) and self.is_in(q, plan.cuts[k].head)
        ]

    cdef int next_crossed(self, int p, int q) except -1:
        """The first of them, or `cut_count`."""
        cdef Plan plan = self.plan
        cdef int k
        for k in range(bisect_right(self.cut_steps, p), bisect_left(self.cut_steps, q)):
            if self.is_in(p, plan.cuts[k].head):
                return k
        return plan.cut_count

    cdef int move_items(self) except -1:
        """Give each connection its places, and each cut what it moves from one place to the next."""
        cdef Plan plan = self.plan
        cdef int m = plan.graph.connection_count
        cdef int e, k, place, count
        cdef list moves = [[] for _ in range(plan.cut_count)]
        cdef dict places = {}
        cdef Branch* branch
        plan.slot_count = m
        if plan.cut_count:
            for e in range(m):
                if self.put_at[e] < 0:
                    continue
                place = e
                for k in self.crossed(self.put_at[e], self.take_at[e]):
                    moves[k].append((place, plan.slot_count, plan.steps[self.put_at[e]].op == PUSH))
                    place = plan.slot_count
                    plan.slot_count += 1
                if place != e:
                    places[e] = place
        for e, place in places.items():
            if plan.steps[self.take_at[e]].op == TAKE:
                plan.steps[self.take_at[e]].arg = place
        for k in range(plan.branch_heads[plan.gather_count] if plan.gather_count else 0):
            branch = plan.branches + k
            branch.place = places.get(branch.edge, branch.edge)
        count = sum(map(len, moves))
        plan.moves = <Move*> PyMem_Calloc(count + 1, sizeof(Move))
        if plan.moves is NULL:
            raise MemoryError
        count = 0
        for k in range(plan.cut_count):
            plan.cuts[k].moves = count
            for source, target, queued in moves[k]:
                plan.moves[count].source = source
                plan.moves[count].target = target
                plan.moves[count].queued = queued
                count += 1
            plan.cuts[k].moves_end = count
        return 0

    # --- the ways --------------------------------------------------------------------------------------------------------

    cdef int add(self, int op, int node, int arg, int skip) except -1:
        """Append a step, or find the one that is there already."""
        cdef Plan plan = self.plan
        cdef Step* grown
        found = self.stubs.get((op, arg, skip))
        if found is not None:
            return found
        if plan.step_count == self.room:
            self.room = 2 * self.room
            grown = <Step*> PyMem_Realloc(plan.steps, self.room * sizeof(Step))
            if grown is NULL:
                raise MemoryError
            plan.steps = grown
        memset(plan.steps + plan.step_count, 0, sizeof(Step))
        plan.steps[plan.step_count].op = op
        plan.steps[plan.step_count].node = node
        plan.steps[plan.step_count].arg = arg
        plan.steps[plan.step_count].skip = skip
        plan.steps[plan.step_count].weight = 1
        self.stubs[op, arg, skip] = plan.step_count
        plan.step_count += 1
        return plan.step_count - 1

    cdef int lead(self, int p) except -1:
        """Lead what jumps from step `p` through the windows, or, behind a cut, to the end of its pass."""
        cdef Plan plan = self.plan
        if plan.steps[p].op == END:
            plan.steps[p].op = END_OF_PASS
            return 0
        if plan.steps[p].skip >= 0:
            target = self.way(p, plan.steps[p].skip)
            plan.steps[p].skip = target
        if plan.steps[p].op == JUMP:
            target = self.way(p, plan.steps[p].arg)
            plan.steps[p].arg = target
        return 0

    cdef int way(self, int p, int q) except -1:
        """Where a jump from `p` to `q` is to lead."""
        cdef Plan plan = self.plan
        cdef int k, way
        cdef int target = q
        cdef list crossed = []
        if q <= p:
            return plan.end_at if self.first_in.get(q, self.length) <= p else q
        k = self.next_crossed(p, q)
        while k < plan.cut_count and (k, target) not in self.ways:  # from a cut on, all go the same way
            crossed.append(k)
            k = self.next_crossed(plan.cuts[k].step, target)
        way = self.ways[k, target] if k < plan.cut_count else target
        for k in reversed(crossed):
            way = self.add(HANDOVER, -1, k, way)
            self.ways[k, target] = way
        return way

    cdef int place_entries(self) except -1:
        """Note in which part of the program a flushed or produced item begins."""
        cdef Plan plan = self.plan
        cdef int u, p
        plan.outer_loops = {p: self.loop_of[p] for p in range(self.length) if self.end_of[p]}
        for u in range(plan.graph.node_count):
            plan.entry_loop[u] = self.loop_of[plan.entry[u]]
            plan.entry_cut[u] = self.cut_before(plan.entry[u])
            plan.batch_loop[u] = self.loop_of[plan.call_at[u]]
            plan.batch_cut[u] = self.cut_before(plan.call_at[u])
        return 0

    cdef int cut_before(self, int p) except -2:
        """The last cut before step `p` in the innermost loop that this is in; -1 for none."""
        cdef int k = bisect_left(self.cut_steps, p) - 1
        while k >= 0 and self.plan.cuts[k].head != self.loop_of[p]:
            k -= 1
        return k

    cdef int place_emits(self) except -1:
        """Let wait what is emitted before the last cut, and all of it where openers' passes overlap."""
        cdef Plan plan = self.plan
        cdef int p
        cdef int last = plan.cuts[plan.last_cut].step if plan.last_cut >= 0 else 0
        for p in range(self.length):
            if plan.steps[p].op == EMIT and (plan.is_nested or p < last):
                plan.steps[p].op = POST
        return 0

    cdef int place_barriers(self) except -1:
        """Let who leaves a loop wait for the passes in it where they feed what is behind it."""
        cdef Plan plan = self.plan
        cdef int e, first, last, loop
        cdef set feeding = set()  # loops
        for e in range(plan.graph.connection_count):
            loop = self.loop_of[self.put_at[e]] if self.put_at[e] >= 0 else RUN
            while not self.is_in(self.take_at[e], loop) and loop not in feeding:
                feeding.add(loop)
                loop = self.loop_of[loop]
        plan.barriers = []
        for loop in sorted(feeding):
            first = bisect_right(self.cut_steps, loop)
            last = bisect_right(self.cut_steps, self.end_of[loop])
            if first < last:
                plan.barriers.append(range(first, last))
                target = self.add(BARRIER, -1, len(plan.barriers) - 1, plan.steps[loop].skip)
                plan.steps[loop].skip = target
        return 0


def cut(Plan plan not None):
    """Cut the program of a plan that has overlapping calls."""
    Cutter(plan).rewrite()
