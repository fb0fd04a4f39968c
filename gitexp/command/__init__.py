"""Run a command as a shell would, keep its output, and end it with all its children.

Output is passed on byte for byte as it comes, standard output to ours, standard error to ours,
and both are appended to one log. Where ours is a terminal the command gets a terminal of its
own for that stream (so that progress bars are drawn and lines appear at once), set so that it
changes no byte and as large as ours; otherwise it gets a pipe. Standard input and the
controlling terminal are handed down as they are. The one thing that does not work this way are
full-screen programs that read keys through their standard output (curses).

The command leads a process group of its own, so that a time budget or an interrupt reaches its
children too. That group is in the background: Ctrl-C and Ctrl-Z come to us and are passed on.
When the command reads the terminal (a debugger, a password) the kernel stops it; then it gets
the terminal, as from a shell, and from there on Ctrl-C goes to it directly.

One loop over ``select`` does everything; signals arrive in it through a pipe. It never blocks
in a write: while nobody takes our output the command is not read from, but deadlines hold. A
reader that goes away (``| head``) ends the passing on, not the command.
"""

from gitexp.command.child import CommandStatus
from gitexp.command.log import LOG_NAME, read_log, remove_log
from gitexp.command.run import CommandResult, run_command

__all__ = ["LOG_NAME", "CommandResult", "CommandStatus", "read_log", "remove_log", "run_command"]
