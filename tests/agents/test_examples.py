"""Ansible reads the example for it. The one for cloud-init is carried out by `test_installing`."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "agents" / "examples" / "ansible.yaml"


def test_ansible_takes_the_example_for_a_playbook(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [
            program,
            "--syntax-check",
            "-i",
            "web-server-01,",
            "-e",
            "defib_enrolment_token=x",
            EXAMPLE,
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ANSIBLE_HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "playbook: " in done.stdout
    # A module that Ansible does not have would be named here.
    assert "ERROR" not in done.stderr
