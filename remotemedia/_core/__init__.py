"""The compiled core. Its sources are in ``_core/`` at the top of the repository; here are their stubs."""

try:
    from remotemedia._core import node as _node  # noqa: F401  any module tells whether the core was built
except ImportError as error:
    raise ImportError(
        f"remotemedia's compiled core could not be loaded ({error}); build it with 'pip install .' "
        "(in a checkout: 'pip install -e .', or 'make build')"
    ) from error
