"""A Hub on the loopback interface: the calls that huggingface_hub makes to push and to pull, kept in memory.

    with HubServer() as hub:            # hub.endpoint for HF_ENDPOINT, hub.token for HF_TOKEN
        ...                             # hub.repos["me/x"], hub.calls: [("POST", "/api/repos/create"), ...]

As on the Hub a repository starts with one commit, what a token may not see does not exist, weights travel by git LFS
(https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md) and a pull request is a ref. It does not speak Xet: clients set
HF_HUB_DISABLE_XET=1.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "other")


@dataclass
class Commit:
    """A state of all files."""

    oid: str
    message: str
    files: dict[str, bytes]
    parent: "Commit | None" = None


@dataclass
class Repo:
    """Branches and pull requests by name: "main", "refs/pr/1"."""

    private: bool
    refs: dict[str, Commit] = field(default_factory=dict)

    def history(self, ref: str = "main") -> list[Commit]:
        """Newest first."""
        found, commit = [], self.refs.get(ref)
        while commit is not None:
            found.append(commit)
            commit = commit.parent
        return found


class HubError(Exception):
    """What the Hub answers instead: status, X-Error-Code, message."""


class HubServer:
    """Runs in a thread while its `with` block does, on a port that the system chooses.

    Args:
        user: Whose token `token` is; it may write into the user's namespace alone.
    """

    def __init__(self, user: str = "me"):
        self.user, self.token = user, "hf_" + "t" * 20
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}  # git LFS: {sha256: content}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, repo_id: str, private: bool = False) -> Repo:
        repo = self.repos[repo_id] = Repo(private)
        self.commit(repo, "main", "initial commit", {".gitattributes": ATTRIBUTES})
        return repo

    def commit(
        self, repo: Repo, ref: str, message: str, files: dict[str, bytes], parent: Commit | None = None
    ) -> Commit:
        parent = parent or repo.refs.get(ref)
        oid = hashlib.sha1(repr((message, sorted(files), parent and parent.oid, len(self.calls))).encode()).hexdigest()
        repo.refs[ref] = Commit(oid, message, files, parent)
        return repo.refs[ref]

    # ---- answers

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> tuple[Any, dict[str, str]]:
        """(JSON or bytes, headers) of one call."""
        writer = headers.get("Authorization") == f"Bearer {self.token}"
        for verbs, pattern, answer in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method in verbs.split():
                named = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
                public = answer in (HubServer.put, HubServer.validate)  # a link with its own signature; no repository
                if "repo" in named:
                    named["repo_id"] = named.pop("repo")
                    repo = self.repos.get(named["repo_id"])
                    if repo is None or (repo.private and not writer and not public):
                        raise HubError(404 if writer else 401, "RepoNotFound", "Repository not found")
                if method in ("POST", "PUT") and not writer and not public:
                    raise HubError(401, "", "Invalid credentials in Authorization header")
                result = answer(self, **named, query=query, body=body)
                return result if isinstance(result, tuple) else (result, {})
        raise HubError(404, "", f"no such call: {method} {path}")

    def create_repo(self, query: dict[str, str], body: bytes) -> Any:
        asked = json.loads(body)
        owner = asked.get("organization") or self.user
        if owner != self.user:
            raise HubError(403, "", f"You don't have the rights to create a model under the namespace {owner!r}")
        repo_id = f"{owner}/{asked['name']}"
        url = {"url": f"{self.endpoint}/{repo_id}"}
        if repo_id in self.repos:
            raise HubError(409, "", "You already created this model repo", url)
        self.create(repo_id, asked.get("visibility") == "private" or bool(asked.get("private")))
        return url

    def validate(self, query: dict[str, str], body: bytes) -> Any:
        block = re.match(r"---\n(.*?)\n---", json.loads(body)["content"], re.S)
        data = yaml.safe_load(block[1]) if block else {}
        if not block:
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        if data.get("license", "other") not in LICENSES:
            message = f'"license" must be one of [{", ".join(LICENSES)}]'
            raise HubError(400, "", message, {"errors": [{"message": message}], "warnings": []})
        return {"errors": [], "warnings": []}

    def info(self, repo_id: str, query: dict[str, str], body: bytes, revision: str = "main") -> Any:
        repo, commit = self.repos[repo_id], self._at(repo_id, revision)
        files = [{"rfilename": name} for name in sorted(commit.files)]
        return {
            "id": repo_id,
            "modelId": repo_id,
            "sha": commit.oid,
            "private": repo.private,
            "siblings": files,
            "tags": [],
        }

    def preupload(self, repo_id: str, revision: str, query: dict[str, str], body: bytes) -> Any:
        there, files = self._at(repo_id, revision).files, []
        for asked in json.loads(body)["files"]:
            lfs = asked["path"].endswith(".safetensors") or asked["size"] > 10_000_000
            old = there.get(asked["path"])
            oid = None if old is None else hashlib.sha256(old).hexdigest() if lfs else _git_oid(old)
            mode = "lfs" if lfs else "regular"
            files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": files}

    def batch(self, repo_id: str, query: dict[str, str], body: bytes) -> Any:
        objects = []
        for asked in json.loads(body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.objects:
                place = f"{self.endpoint}/{repo_id}/lfs/{asked['oid']}"
                entry["actions"] = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
            objects.append(entry)
        return {"transfer": "basic", "objects": objects}

    def put(self, repo_id: str, oid: str, query: dict[str, str], body: bytes) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise HubError(400, "", "content does not match the object id")
        self.objects[oid] = body
        return b""

    def verify(self, repo_id: str, oid: str, query: dict[str, str], body: bytes) -> Any:
        if len(self.objects.get(oid, b"")) != json.loads(body)["size"]:
            raise HubError(404, "", "no such object")
        return {}

    def receive(self, repo_id: str, revision: str, query: dict[str, str], body: bytes) -> Any:
        repo, parent = self.repos[repo_id], self._at(repo_id, revision)
        header, *changes = [json.loads(line) for line in body.splitlines()]
        files = dict(parent.files)
        for change in changes:
            value, kind = change["value"], change["key"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                if value["oid"] not in self.objects:
                    raise HubError(400, "", f"{value['path']} was never uploaded")
                files[value["path"]] = self.objects[value["oid"]]
            elif kind == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise HubError(404, "EntryNotFound", "A file with this name doesn't exist")
            else:
                raise HubError(400, "", f"unknown change {kind!r}")
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
        ref = f"refs/pr/{number}" if query.get("create_pr") else revision
        commit = self.commit(repo, ref, header["value"]["summary"], files, parent)
        answer = {
            "commitUrl": f"{self.endpoint}/{repo_id}/commit/{commit.oid}",
            "commitOid": commit.oid,
            "success": True,
        }
        return {
            **answer,
            "pullRequestUrl": f"{self.endpoint}/{repo_id}/discussions/{number}" if ref != revision else None,
        }

    def branch(self, repo_id: str, revision: str, query: dict[str, str], body: bytes) -> Any:
        repo = self.repos[repo_id]
        if revision in repo.refs:
            raise HubError(409, "", "Reference already exists")
        repo.refs[revision] = repo.refs["main"]
        return {}

    def list_refs(self, repo_id: str, query: dict[str, str], body: bytes) -> Any:
        refs = {name: commit.oid for name, commit in self.repos[repo_id].refs.items()}
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in refs.items()]
        return {
            "branches": [entry for entry in branches if not entry["name"].startswith("refs/")],
            "tags": [],
            "converts": [],
        }

    def tree(self, repo_id: str, revision: str, query: dict[str, str], body: bytes, path: str = "") -> Any:
        files, front = self._at(repo_id, revision).files, f"{path}/" if path else ""
        inside = {name: content for name, content in files.items() if name.startswith(front)}
        if not inside:
            raise HubError(404, "EntryNotFound", f"{path} does not exist on {revision!r}")
        return [
            {"type": "file", "path": name, "size": len(content), "oid": _git_oid(content)}
            for name, content in inside.items()
            if query.get("recursive") in ("true", "True") or "/" not in name[len(front) :]
        ]

    def resolve(self, repo_id: str, revision: str, path: str, query: dict[str, str], body: bytes) -> Any:
        commit = self._at(repo_id, revision)
        if path not in commit.files:
            raise HubError(404, "EntryNotFound", "Entry not found")
        content = commit.files[path]
        etag = hashlib.sha256(content).hexdigest() if path.endswith(".safetensors") else _git_oid(content)
        return content, {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"'}

    def _at(self, repo_id: str, revision: str) -> Commit:
        repo = self.repos[repo_id]
        by_oid = {commit.oid: commit for ref in repo.refs for commit in repo.history(ref)}
        commit = repo.refs.get(revision) or by_oid.get(revision)
        if commit is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    _REPO = r"/api/models/(?P<repo>[\w.-]+/[\w.-]+)"
    ROUTES = (
        ("POST", "/api/repos/create", create_repo), ("POST", "/api/validate-yaml", validate), ("GET", r"/api/models/(?P<repo>[\w.-]+(?:/[\w.-]+)?)", info),
        ("GET", _REPO + r"/revision/(?P<revision>[^/]+)", info), ("GET", _REPO + "/refs", list_refs),
        ("POST", _REPO + r"/preupload/(?P<revision>[^/]+)", preupload), ("POST", _REPO + r"/commit/(?P<revision>[^/]+)", receive),
        ("POST", _REPO + r"/branch/(?P<revision>[^/]+)", branch),
        ("GET", _REPO + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", tree),
        ("POST", r"/(?P<repo>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", batch),
        ("PUT", r"/(?P<repo>[\w.-]+/[\w.-]+)/lfs/(?P<oid>\w+)", put), ("POST", r"/(?P<repo>[\w.-]+/[\w.-]+)/lfs/(?P<oid>\w+)/verify", verify),
        ("GET HEAD", r"/(?P<repo>[\w.-]+/[\w.-]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    )  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: HubServer

    def _serve(self) -> None:
        url, body, hub = urlsplit(self.path), self._body(), self.server_hub
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        status, headers = 200, {}
        try:
            with hub.lock:
                hub.calls.append((self.command, url.path))
                content, headers = hub.answer(self.command, url.path, query, self.headers, body)
        except HubError as error:
            status, code, message, *rest = error.args
            content = rest[0] if rest else {"error": message}
            headers = {"X-Error-Code": code, "X-Error-Message": message}
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def log_message(self, *arguments: Any) -> None:
        pass


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
