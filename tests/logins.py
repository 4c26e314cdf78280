"""A second login for a Postgres database, with no right in it yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from sqlalchemy import make_url


@dataclass(frozen=True, slots=True)
class Roles:
    """One database under two names: of its owner, and of a login `name` that has no right in it yet."""

    owner_url: str
    name: str

    @property
    def url(self) -> str:
        return make_url(self.owner_url).set(username=self.name).render_as_string(hide_password=False)


@contextmanager
def second_login(owner_url: str) -> Iterator[Roles]:
    """Make a login for a database, and drop it with all its rights."""
    roles = Roles(owner_url=owner_url, name=f"app_{uuid4().hex[:8]}")
    with psycopg.connect(roles.owner_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {roles.name} LOGIN")
        yield roles
        owner.execute(f"DROP OWNED BY {roles.name}")
        owner.execute(f"DROP ROLE {roles.name}")
