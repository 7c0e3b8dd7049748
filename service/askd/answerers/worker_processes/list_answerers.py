"""List the functions of a module in another process, so that the server does not import it."""

import os
import subprocess
import sys
from typing import Final

import msgspec

from askd.answerers.user_code.importer import ModuleAnswerers
from askd.answerers.worker_processes.interpreter import inherited_stdout, interpreter_command
from askd.errors import LoadError

_PROGRAM: Final = "from askd.answerers.worker_processes.list_answerers import main; main()"


def list_answerers_in_process(location: str) -> ModuleAnswerers:
    """Return the names of the objects in a file or module that can answer. Blocks; raises LoadError."""
    read_end, write_end = os.pipe()
    try:
        command = [*interpreter_command(_PROGRAM), location, str(write_end)]
        # The code may print, or crash. Its error is reported when it is loaded.
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=inherited_stdout(), pass_fds=[write_end], check=True)  # noqa: S603 - the interpreter
        os.set_blocking(read_end, False)
        return msgspec.json.decode(os.read(read_end, 1 << 16), type=ModuleAnswerers)
    except (subprocess.CalledProcessError, OSError, msgspec.MsgspecError) as error:
        raise LoadError(f"{location} cannot be imported") from error
    finally:
        os.close(read_end)
        os.close(write_end)


def main() -> None:
    """Write the names as JSON to the descriptor in the second argument."""
    from askd.answerers.user_code.answerer import accepts_question  # noqa: PLC0415 - the server needs only the above
    from askd.answerers.user_code.user_module import UserModule  # noqa: PLC0415 - as above

    location, write_end = sys.argv[1], int(sys.argv[2])
    del sys.argv[1:]
    try:
        names = UserModule(f"{location}:*", accepts_question).list_answerers()
    except LoadError:
        os._exit(1)
    os.write(write_end, msgspec.json.encode(names))
    os._exit(0)  # without waiting for threads of the code
