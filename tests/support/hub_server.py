"""A Hugging Face Hub on 127.0.0.1, of the standard library, with faults on demand.

It speaks what the real client says: accounts with tokens that read or write, public,
private and gated repositories, branches, tags and commits, small files in the commit,
large ones by Git LFS or by Xet. Xet needs no server of its own: told that the store is
a local folder, the real hf_xet writes and reads there.
"""

import base64
import collections
import hashlib
import http.server
import json
import pathlib
import re
import threading
import time

from faulty_http import Fault, FaultyHandler
from hub_storage import Blob, Repository, xet_hash

LARGE = (".safetensors", ".h5", ".png")


class HubServer(http.server.ThreadingHTTPServer):
    """The Hub. Use it as a context manager; `endpoint` is its address.

    Args:
        xet: folder of the Xet store, or `None` for Git LFS only.
    """

    daemon_threads = True

    def __init__(self, xet=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.xet = xet
        self.accounts = {"writer": ("user", "write"), "reader": ("user", "read")}
        self.accounts["stranger"] = ("other", "write")
        self.repositories, self.store = {}, {}
        self.faults, self.requests, self.lock = [], [], threading.RLock()
        self.stalled = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stalled.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that were killed are part of the tests."""

    def publish(self, name, folder):
        """Commits a folder as it is, without a client; large files by Git LFS."""
        repository = self.repositories.setdefault(name, Repository())
        files = {}
        for path in pathlib.Path(folder).iterdir():
            content, large = path.read_bytes(), path.name.endswith(LARGE)
            sha256 = hashlib.sha256(content).hexdigest()
            self.store[sha256] = content
            files[path.name] = Blob(
                None if large else content, sha256, len(content), large
            )
        return repository.commit("main", files, repository.heads["main"])

    def fault(self, method, path, kind, times=1):
        self.faults.append(Fault(method, path, kind, times))

    def files(self, name, revision="main"):
        """path -> content of a repository."""
        repository = self.repositories[name]
        files = repository.commits[repository.resolve(revision)]
        return {path: self.content(blob) for path, blob in files.items()}

    def content(self, blob):
        return blob.content if blob.content is not None else self.store[blob.sha256]

    def count(self, method, path):
        return sum(m == method and bool(re.search(path, p)) for m, p in self.requests)


class Handler(FaultyHandler):
    """The requests of huggingface_hub, each answered by a method of its own."""

    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        (
            "GET",
            r"/api/models/([^/]+/[^/]+)/xet-(read|write)-token/([^/]+)",
            "xet_token",
        ),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/([0-9a-f]{64})", "put"),
        ("POST", r"/lfs/verify", "verify"),
        ("HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def account(self):
        """(user, role), or None without a token; an unknown token is an error."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not token:
            return None
        return self.server.accounts.get(token, "unknown")

    def repository(self, name, write=False):
        """The repository, or None once the error has been sent."""
        account = self.account()
        if account == "unknown":
            self.error(401, None, "Invalid credentials in Authorization header")
            return None
        repository = self.server.repositories.get(name)
        owner = account is not None and name.split("/")[0] == account[0]
        if repository is None or (repository.private and not owner):
            self.error(404 if account else 401, "RepoNotFound", "Repository not found")
            return None
        if write and not (owner and account[1] == "write"):
            self.error(403, None, "Forbidden: you must use a write token")
            return None
        return repository

    def whoami(self):
        account = self.account()
        if account in (None, "unknown"):
            return self.error(401, None, "Invalid credentials in Authorization header")
        return self.answer({"type": "user", "name": account[0]})

    def create(self):
        wanted = json.loads(self.body)
        account = self.account()
        if account in (None, "unknown"):
            return self.error(401, None, "Invalid credentials in Authorization header")
        if account != (wanted["organization"], "write"):
            return self.error(403, None, "You don't have the rights to create this")
        name = f"{wanted['organization']}/{wanted['name']}"
        url = f"{self.server.endpoint}/{name}"
        if name in self.server.repositories:
            return self.answer({"error": "You already created it", "url": url}, 409)
        private = wanted.get("visibility") == "private" or wanted.get("private", False)
        self.server.repositories[name] = Repository(private)
        return self.answer({"url": url, "name": name})

    def validate(self):
        return self.answer({"errors": [], "warnings": []})

    def info(self, name, revision):
        if (repository := self.repository(name)) is None:
            return None
        oid = repository.resolve(revision or "main")
        if oid is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = []
        for path, blob in repository.commits[oid].items():
            entry = {"rfilename": path, "size": blob.size, "blobId": blob.git_id}
            if blob.large:
                lfs = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 134}
                entry["lfs"] = lfs
            siblings.append(entry)
        return self.answer(
            {
                "id": name,
                "sha": oid,
                "private": repository.private,
                "gated": "auto" if repository.gated else False,
                "siblings": siblings,
            }
        )

    def tree(self, name, revision):
        if (repository := self.repository(name)) is None:
            return None
        files = repository.commits[repository.resolve(revision)]
        return self.answer(
            [
                {"type": "file", "path": path, "size": b.size, "oid": b.git_id}
                for path, b in files.items()
            ]
        )

    def preupload(self, name, revision):
        if (repository := self.repository(name, write=True)) is None:
            return None
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        if repository.resolve(revision) is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.answer({"files": files})

    def commit(self, name, branch):
        if (repository := self.repository(name, write=True)) is None:
            return None
        lines = [json.loads(line) for line in self.body.splitlines()]
        with self.server.lock:
            head = repository.heads.get(branch)
            if head is None:
                return self.error(404, "RevisionNotFound", f"Invalid rev id: {branch}")
            if lines[0]["value"].get("parentCommit", head) != head:
                return self.error(412, None, "A commit has happened since")
            oid = repository.commit(branch, self.changed(repository, head, lines), head)
        url = f"{self.server.endpoint}/{name}/commit/{oid}"
        return self.answer({"commitUrl": url, "commitOid": oid, "success": True})

    def changed(self, repository, head, lines):
        """The files of a commit, those of its parent and what its lines change."""
        files = dict(repository.commits[head])
        for line in lines[1:]:
            path, value = line["value"]["path"], line["value"]
            if line["key"] == "deletedFile":
                del files[path]
            elif line["key"] == "file":
                content = base64.b64decode(value["content"])
                sha256 = hashlib.sha256(content).hexdigest()
                files[path] = Blob(content, sha256, len(content), large=False)
            else:
                files[path] = Blob(None, value["oid"], value["size"], large=True)
        return files

    def branch(self, name, branch):
        if (repository := self.repository(name, write=True)) is None:
            return None
        if branch in repository.heads:
            return self.error(409, None, "Reference already exists")
        repository.heads[branch] = repository.heads["main"]
        return self.answer({})

    def xet_token(self, name, kind, revision):
        if self.repository(name, write=kind == "write") is None:
            return None
        url, expires = f"local://{self.server.xet}", int(time.time()) + 3600
        return self.answer(
            {"casUrl": url, "accessToken": "xet", "exp": expires},
            headers={
                "X-Xet-Cas-Url": url,
                "X-Xet-Access-Token": "xet",
                "X-Xet-Token-Expiration": str(expires),
            },
        )

    def batch(self, name):
        if self.repository(name, write=True) is None:
            return None
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.store:
                entry["actions"] = {
                    "upload": {"href": f"{self.server.endpoint}/lfs/{wanted['oid']}"},
                    "verify": {"href": f"{self.server.endpoint}/lfs/verify"},
                }
            objects.append(entry)
        return self.answer({"transfer": "basic", "objects": objects})

    def put(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.error(400, None, "The content has another hash")
        self.server.store[oid] = self.body
        return self.answer()

    def verify(self):
        wanted = json.loads(self.body)
        stored = self.server.store.get(wanted["oid"])
        if stored is None or len(stored) != wanted["size"]:
            return self.error(404, None, "not uploaded")
        return self.answer({})

    def resolve(self, name, revision, path):
        if (repository := self.repository(name)) is None:
            return None
        oid = repository.resolve(revision)
        if oid is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if repository.gated and self.account() != (name.split("/")[0], "write"):
            return self.error(403, "GatedRepo", "Access to this repo is restricted")
        blob = repository.commits[oid].get(path)
        if blob is None:
            return self.error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{blob.git_id}"'}
        if blob.large:
            headers["X-Linked-Etag"] = f'"{blob.sha256}"'
            headers["X-Linked-Size"] = str(blob.size)
        if self.server.xet and blob.large:
            route = f"/api/models/{name}/xet-read-token/{oid}"
            headers["X-Xet-Hash"] = xet_hash(self.server.xet, blob.sha256)
            headers["X-Xet-Refresh-Route"] = self.server.endpoint + route
            content = self.server.store.get(blob.sha256, b"")
        else:
            content = self.server.content(blob)
        status, asked = 200, self.headers.get("Range")
        if asked and self.fault != "no range":
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            headers["Content-Range"] = f"bytes {start}-{blob.size - 1}/{blob.size}"
            content, status = content[start:], 206
        if self.command == "HEAD":
            headers["Content-Length"] = str(blob.size)
        return self.answer(content, status, headers)


def tally(server):
    """method and kind of address -> number of requests, for a look at the traffic."""
    return collections.Counter(
        (method, re.sub(r"[0-9a-f]{40,64}", "HASH", path))
        for method, path in server.requests
    )
