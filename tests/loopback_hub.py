"""
A Hugging Face Hub on this machine, for the tests: what the real clients ask of it, kept in memory.

    with LoopbackHub() as hub:
        HfApi(endpoint=hub.url, token=TOKEN).create_repo("me/digit")
        httpx.post(hub.url + "/loopback/fail", json=[{"method": "POST", "path": "/commit/", "status": 429, "times": 1}])

The last makes it answer the next requests whose path holds `path` with this status; 0 cuts their connection. The other
routes are those of https://huggingface.co/docs/hub/api and of the Git LFS batch API.
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "hf_loopback"
USER = "me"
LFS_FROM = 1_000_000
"""Bytes from which on a file is stored by Git LFS; so are binary ones by their name."""

LFS_NAMES = re.compile(r"\.(safetensors|parquet|bin|png|jpg)$")


@dataclass
class Repo:
    """Every state that a repository has been in: commit -> path -> content."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def commit(self, files: dict[str, bytes], message: str) -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits[sha], self.messages[sha] = files, message
        return sha

    def resolve(self, revision: str) -> str | None:
        known = {"main": self.head, "refs/heads/main": self.head} | self.tags | {sha: sha for sha in self.commits}
        return known.get(revision)


@dataclass
class Failure:
    """What is to go wrong, with the next requests that it is meant for."""

    method: str
    path: str
    status: int  # 0 cuts the connection
    times: int


class HubError(Exception):
    def __init__(self, status: int, code: str, message: str):
        self.response = JSONResponse({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message})


class LoopbackHub:
    """Listens on a free port of this machine while the context lasts."""

    def __init__(self):
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.failures: list[Failure] = []
        self.requests: list[str] = []

    def files(self, repo_id: str, repo_type: str = "model", revision: str = "main") -> dict[str, bytes]:
        repo = self.repos[repo_type, repo_id]
        return repo.commits[repo.resolve(revision)]

    def __enter__(self) -> "LoopbackHub":
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _app(self) -> Starlette:
        at = "/api/{kind:str}s/{owner:str}/{name:str}"
        git = "/{owner:str}/{name:str}"
        routes = [
            Route("/api/whoami-v2", self._whoami),
            Route("/api/validate-yaml", self._validate_yaml, methods=["POST"]),
            Route("/loopback/fail", self._fail, methods=["POST"]),
            Route("/api/repos/create", self._create, methods=["POST"]),
            Route("/api/repos/delete", self._delete, methods=["DELETE"]),
            Route(at, self._info),
            Route(at + "/revision/{revision:path}", self._info),
            Route(at + "/tree/{rest:path}", self._tree),
            Route(at + "/paths-info/{revision:path}", self._paths_info, methods=["POST"]),
            Route(at + "/refs", self._refs),
            Route(at + "/commits/{revision:path}", self._commits),
            Route(at + "/tag/{revision:path}", self._tag, methods=["POST"]),
            Route(at + "/preupload/{revision:path}", self._preupload, methods=["POST"]),
            Route(at + "/commit/{revision:path}", self._commit, methods=["POST"]),
        ]
        for prefix in ("/datasets", "/spaces", ""):
            routes.append(Route(prefix + git + ".git/info/lfs/objects/batch", self._lfs_batch, methods=["POST"]))
            routes.append(Route(prefix + git + "/resolve/{rest:path}", self._file, methods=["GET", "HEAD"]))
        routes.append(Route("/lfs/{oid:str}", self._lfs_put, methods=["PUT"]))
        return Starlette(
            routes=routes,
            middleware=[Middleware(_Failing, hub=self)],
            exception_handlers={HubError: lambda request, error: error.response},
        )

    def _needs_token(self, request: Request) -> None:
        sent = request.headers.get("authorization", "")
        if not sent:
            raise HubError(401, "Unauthorized", "Invalid username or password.")
        if sent != f"Bearer {TOKEN}":
            raise HubError(401, "InvalidToken", "Invalid credentials in Authorization header")

    def _repo(self, request: Request) -> Repo:
        kind = request.path_params.get("kind") or {"datasets": "dataset", "spaces": "space"}.get(
            request.url.path.split("/")[1], "model"
        )
        repo = self.repos.get((kind, f"{request.path_params['owner']}/{request.path_params['name']}"))
        if repo is None:
            raise HubError(404, "RepoNotFound", "Repository not found")
        return repo

    def _revision(self, request: Request, repo: Repo) -> str:
        sha = repo.resolve(request.path_params.get("revision", "main"))
        if sha is None:
            raise HubError(404, "RevisionNotFound", "Invalid rev id")
        return sha

    async def _fail(self, request: Request) -> Response:
        """For tests in another process: all that is to go wrong from now on."""
        self.failures = [Failure(**failure) for failure in await request.json()]
        return Response()

    async def _whoami(self, request: Request) -> Response:
        self._needs_token(request)
        auth = {"accessToken": {"displayName": "loopback", "role": "write"}}
        return JSONResponse({"type": "user", "name": USER, "fullname": USER, "orgs": [], "auth": auth})

    async def _validate_yaml(self, request: Request) -> Response:
        """The head of a card, by https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
        _, head, _ = (await request.json())["content"].split("---", 2)
        try:
            errors = _errors_of_card(yaml.safe_load(head))
        except yaml.YAMLError as error:
            errors = [str(error)]
        told = {"errors": [{"message": error} for error in errors], "warnings": []}
        return JSONResponse(told, 400 if errors else 200)

    async def _create(self, request: Request) -> Response:
        self._needs_token(request)
        asked = await request.json()
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        kind = asked.get("type") or "model"
        url = f"{self.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        self.repos[kind, name] = Repo()
        self.repos[kind, name].commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return JSONResponse({"url": url, "name": name, "id": name})

    async def _delete(self, request: Request) -> Response:
        self._needs_token(request)
        asked = await request.json()
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        if self.repos.pop((asked.get("type") or "model", name), None) is None:
            raise HubError(404, "RepoNotFound", "Repository not found")
        return Response()

    async def _info(self, request: Request) -> Response:
        repo = self._repo(request)
        sha = self._revision(request, repo)
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        siblings = [{"rfilename": path} for path in sorted(repo.commits[sha])]
        described = {"id": name, "modelId": name, "sha": sha, "private": False, "tags": [], "siblings": siblings}
        return JSONResponse(described | {"lastModified": "2026-01-01T00:00:00.000Z", "downloads": 0, "likes": 0})

    async def _tree(self, request: Request) -> Response:
        repo = self._repo(request)
        revision, _, folder = request.path_params["rest"].partition("/")
        sha = repo.resolve(revision)
        if sha is None:
            raise HubError(404, "RevisionNotFound", "Invalid rev id")
        inside = {path: content for path, content in repo.commits[sha].items() if path.startswith(folder)}
        if folder and not inside:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        start = f"{folder}/" if folder else ""
        entries = {}
        is_recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        for path, content in inside.items():
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts)):
                parent = start + "/".join(parts[:depth])
                if is_recursive or depth == 1:
                    entries[parent] = {"type": "directory", "oid": _sha1(parent.encode()), "size": 0, "path": parent}
            if is_recursive or len(parts) == 1:
                entries[path] = _described(path, content)
        return JSONResponse(list(entries.values()))

    async def _paths_info(self, request: Request) -> Response:
        repo = self._repo(request)
        files, entries = repo.commits[self._revision(request, repo)], []
        body = await request.body()
        if request.headers["content-type"].startswith("application/json"):
            paths = json.loads(body)["paths"]
        else:
            paths = (await request.form()).getlist("paths")
        for path in paths:
            if path in files:
                entries.append(_described(path, files[path]))
            elif any(other.startswith(f"{path}/") for other in files):
                entries.append({"type": "directory", "oid": _sha1(path.encode()), "size": 0, "path": path})
        return JSONResponse(entries)

    async def _refs(self, request: Request) -> Response:
        repo = self._repo(request)
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repo.tags.items()]
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}]
        return JSONResponse({"branches": branches, "tags": tags, "converts": []})

    async def _commits(self, request: Request) -> Response:
        repo = self._repo(request)
        self._revision(request, repo)
        rows = [
            {"id": sha, "title": repo.messages[sha], "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}
            for sha in reversed(repo.commits)
        ]
        return JSONResponse(rows)

    async def _tag(self, request: Request) -> Response:
        self._needs_token(request)
        repo, asked = self._repo(request), await request.json()
        if asked["tag"] in repo.tags:
            raise HubError(409, "TagExists", "Tag already exists")
        repo.tags[asked["tag"]] = self._revision(request, repo)
        return JSONResponse({})

    async def _preupload(self, request: Request) -> Response:
        self._needs_token(request)
        self._repo(request)
        asked = (await request.json())["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] > LFS_FROM or LFS_NAMES.search(file["path"]) else "regular",
                "shouldIgnore": False,
            }
            for file in asked
        ]
        return JSONResponse({"files": modes})

    async def _commit(self, request: Request) -> Response:
        self._needs_token(request)
        repo = self._repo(request)
        self._revision(request, repo)
        files, message = dict(repo.commits[repo.head]), ""
        for line in (await request.body()).splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.blobs:
                    raise HubError(400, "LfsMissing", f"The LFS object {value['oid']} was never uploaded")
                files[value["path"]] = self.blobs[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"], None)
            else:  # deletedFolder
                folder = value["path"].rstrip("/") + "/"
                files = {path: content for path, content in files.items() if not path.startswith(folder)}
        sha = repo.commit(files, message)
        url = f"{self.url}/{request.path_params['owner']}/{request.path_params['name']}/commit/{sha}"
        return JSONResponse({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    async def _lfs_batch(self, request: Request) -> Response:
        self._needs_token(request)
        objects = (await request.json())["objects"]
        for each in objects:
            if each["oid"] not in self.blobs:
                each["actions"] = {"upload": {"href": f"{self.url}/lfs/{each['oid']}", "header": {}}}
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def _lfs_put(self, request: Request) -> Response:
        content = await request.body()
        oid = hashlib.sha256(content).hexdigest()
        if oid != request.path_params["oid"]:
            return Response(status_code=400)
        self.blobs[oid] = content
        return Response()

    async def _file(self, request: Request) -> Response:
        repo = self._repo(request)
        revision, _, path = request.path_params["rest"].partition("/")
        sha = repo.resolve(revision)
        if sha is None:
            raise HubError(404, "RevisionNotFound", "Invalid rev id")
        if path not in repo.commits[sha]:
            raise HubError(404, "EntryNotFound", f"{path} does not exist on {revision}")
        content = repo.commits[sha][path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{_sha1(content)}"', "Accept-Ranges": "bytes"}
        if match := re.match(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            first, last = int(match[1]), int(match[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return Response(content[first : last + 1], 206, headers)
        if request.method == "HEAD":
            return Response(headers=headers | {"Content-Length": str(len(content))})
        return Response(content, headers=headers)


class _Failing:
    """Lets requests go wrong that are to, before they reach the Hub."""

    def __init__(self, app, hub: LoopbackHub):
        self.app, self.hub = app, hub

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            self.hub.requests.append(f"{scope['method']} {scope['path']}")
            for failure in self.hub.failures:
                if failure.times and failure.method == scope["method"] and failure.path in scope["path"]:
                    failure.times -= 1
                    if failure.status == 0:
                        await receive()  # a part of it, and then
                        return receive.__self__.transport.abort()
                    response = JSONResponse({"error": "as it was told"}, failure.status, {"Retry-After": "0"})
                    return await response(scope, receive, send)
        await self.app(scope, receive, send)


def _described(path: str, content: bytes) -> dict:
    entry = {"type": "file", "oid": _sha1(content), "size": len(content), "path": path}
    if LFS_NAMES.search(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _errors_of_card(head: dict) -> list[str]:
    errors = []
    for key in ("license", "library_name", "pipeline_tag", "tags", "datasets", "metrics"):
        texts = head.get(key, [])
        texts = [texts] if isinstance(texts, str) else texts
        if not (isinstance(texts, list) and all(isinstance(each, str) for each in texts)):
            errors.append(f"{key} must be a text, or a list of texts")
    for model in head.get("model-index", []):
        for result in model["results"]:
            if not result.get("task", {}).get("type"):
                errors.append("a result of the model-index needs a task with a type")
            if not (result.get("dataset", {}).get("type") and result["dataset"].get("name")):
                errors.append("a result of the model-index needs a dataset with a type and a name")
            if not all({"type", "value"} <= set(metric) for metric in result.get("metrics", [{}])):
                errors.append("a metric of the model-index needs a type and a value")
    return errors


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
