"""Share runs through a git remote: what is new travels, and states are united (docs/sharing.md)."""

from gitexp.share.ahead import Ahead, unshared
from gitexp.share.archive import archive
from gitexp.share.pull import Pulled, pull
from gitexp.share.push import Pushed, push
from gitexp.share.remote import Remote, choose_remote, is_remote

__all__ = [
    "Ahead",
    "Pulled",
    "Pushed",
    "Remote",
    "archive",
    "choose_remote",
    "is_remote",
    "pull",
    "push",
    "unshared",
]
