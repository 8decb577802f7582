"""The one exception that stands for a mistake of the person at the keyboard."""


class UserError(Exception):
    """A mistake the user can mend.

    The text is one line: what is wrong, where, and what to do about it. The command line prints
    that line and exits with code 2; in a notebook it is an ordinary exception. Anything that is
    *not* a ``UserError`` is a fault of ours and keeps its traceback.
    """
