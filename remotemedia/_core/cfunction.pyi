from remotemedia._core.node import NativeNode

SIGNATURES: tuple[str, ...]

class CPointer:
    def __init__(
        self, address: int, signature: int, owner: object, data: int = 0, data_owner: object = None
    ) -> None: ...

class CFunction(NativeNode):
    c_pointer: CPointer | None
    has_lane: bool
    def point_to(self, pointer: CPointer) -> None: ...

def capsule_parts(capsule: object) -> tuple[str | None, int, int]: ...
