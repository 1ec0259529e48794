"""Stands in for what no test machine has: a kubelet, and the controller of Jobs.

It runs a pod's first container as a process of this machine: the command, environment and mounted
Secrets are those of the chart, read back from the API server. Isolation, probes, networks and
images are not there.
"""

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import processes, readiness
from defib_dev.components.kubectl import Kubectl, KubectlError
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessRecord, ProcessSpec, clean_environment
from defib_dev.stack.programs import answer_missing
from support.helm import Manifest

PROGRAMS = {
    "defib": (sys.executable, "-m", "defib_cli.main"),
    "python": (sys.executable,),
}
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Runs the pods of one namespace; what they mount lies in the folder."""

    kubectl: Kubectl
    namespace: str
    folder: Path

    def get(self, kind: str, name: str) -> Manifest:
        """One object, as the API server has it."""
        text = self.kubectl.run("get", kind, name, "--namespace", self.namespace, "-o", "json")
        read: Manifest = json.loads(text)
        return read

    def process_of(
        self, pod: Manifest, name: str, settings: Mapping[str, str] | None = None
    ) -> ProcessSpec:
        """The process that stands for the pod; `settings` win, for ports on loopback."""
        (container,) = pod["spec"]["containers"]
        program, *rest = [*container.get("command", ["defib"]), *container.get("args", [])]
        places = self._mount(pod["spec"], container)
        environment = {
            one["name"]: _relocated(one.get("value", name), places)
            for one in container.get("env", [])
        }
        argv = (*PROGRAMS[program], *rest)
        return ProcessSpec(name, argv, {**environment, **(settings or {})}, dies_with_parent=True)

    def _mount(self, spec: Manifest, container: Manifest) -> dict[str, str]:
        """Write the mounted Secrets out; say where each mount path is here."""
        volumes = {one["name"]: one for one in spec.get("volumes", [])}
        places = {}
        for mount in container.get("volumeMounts", []):
            place = self.folder / mount["mountPath"].strip("/")
            place.mkdir(parents=True, exist_ok=True)
            places[mount["mountPath"]] = str(place)
            if secret := volumes[mount["name"]].get("secret"):
                data = self.get("secret", secret["secretName"])["data"]
                for item in secret["items"]:
                    (place / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))
        return places

    def run(self, spec: ProcessSpec) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            spec.argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={**clean_environment(), **spec.env},
        )

    @contextmanager
    def running_jobs(self, name: str) -> Iterator[list[subprocess.CompletedProcess[str]]]:
        """Run the Job of this name once it appears, and say in its status how it ended."""
        ended: list[subprocess.CompletedProcess[str]] = []
        stop = threading.Event()
        thread = threading.Thread(target=self._run_job, args=(name, ended, stop))
        thread.start()
        try:
            yield ended
        finally:
            stop.set()
            thread.join()

    def _run_job(
        self, name: str, ended: list[subprocess.CompletedProcess[str]], stop: threading.Event
    ) -> None:
        while not stop.is_set():
            try:
                job = self.get("job", name)
            except KubectlError:
                time.sleep(PAUSE_SECONDS)
                continue
            ran = self.run(self.process_of(job["spec"]["template"], name))
            ended.append(ran)
            self._report("job", name, _ended_job(fine=ran.returncode == 0))
            return

    @contextmanager
    def running_pod(self, name: str, settings: Mapping[str, str]) -> Iterator[None]:
        """Run the bare pod of this name once it appears, and say in its status how it ended."""
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                try:
                    pod = self.get("pod", name)
                except KubectlError:
                    time.sleep(PAUSE_SECONDS)
                    continue
                ran = self.run(self.process_of(pod, name, settings))
                phase = "Succeeded" if ran.returncode == 0 else "Failed"
                self._report("pod", name, {"phase": phase})
                return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _report(self, kind: str, name: str, status: Manifest) -> None:
        self.kubectl.run(
            *("patch", kind, name, "--namespace", self.namespace, "--subresource=status"),
            *("--type=merge", "--patch", json.dumps({"status": status})),
        )


@dataclass(frozen=True, slots=True)
class RunningApi:
    """The API of one revision of the Deployment."""

    record: ProcessRecord
    url: str

    def stop(self) -> None:
        """SIGTERM, and wait: as a kubelet would, after taking it out of the Service."""
        processes.stop(self.record)


def start_api(kubelet: Kubelet, name: str) -> RunningApi:
    """Start a replica as the Deployment describes it now; returns when it is ready."""
    pod = kubelet.get("deployment", "defib-api")["spec"]["template"]
    port = free_port()
    settings = {"DEFIB_API_HOST": "127.0.0.1", "DEFIB_API_PORT": str(port)}
    settings["DEFIB_REPORT_LIMIT_PER_MINUTE"] = "0"  # the load comes from few VMs
    url = f"http://127.0.0.1:{port}"
    log = kubelet.folder / f"{name}.log"
    record = processes.start(kubelet.process_of(pod, name, settings), log)
    readiness.wait_for_process(record, lambda: answer_missing(f"{url}/readyz"), deadline_seconds=60)
    return RunningApi(record, url)


def _relocated(value: str, places: Mapping[str, str]) -> str:
    for mount, place in places.items():
        if value.startswith(f"{mount}/"):
            return place + value.removeprefix(mount)
    return value


def _ended_job(*, fine: bool) -> Manifest:
    """What the controller of Jobs writes; the API server checks that it hangs together."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    words = ("SuccessCriteriaMet", "Complete") if fine else ("FailureTarget", "Failed")
    why = "CompletionsReached" if fine else "BackoffLimitExceeded"
    conditions = [
        {
            "type": word,
            "status": "True",
            "reason": why,
            "message": "the process has ended",
            "lastProbeTime": now,
            "lastTransitionTime": now,
        }
        for word in words
    ]
    counts: Manifest = {"succeeded": 1, "completionTime": now} if fine else {"failed": 1}
    return {"startTime": now, "conditions": conditions, "ready": 0, **counts}
