"""Secrets may come from files, and the doctor says where others could read them."""

from pathlib import Path

import pytest

from bot import doctor
from bot.settings import read_settings


@pytest.mark.parametrize("name", ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "ROLLOUT_TOKENS"])
def test_a_secret_that_everybody_on_the_machine_may_read_is_found(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text("operator:a-long-secret")
    settings = read_settings({f"{name}_FILE": str(file), "DATABASE_URL": f"sqlite:///{tmp_path}/log.db"})
    found = {}
    for mode in (0o644, 0o640, 0o600):
        file.chmod(mode)
        found[mode] = [x.text for x in doctor.examine_installation(settings) if x.what == "secrets"]
    assert found[0o644] == [f"everybody on this machine can read {file}: chmod o-rwx {file}"]
    assert found[0o640] == found[0o600] == []
