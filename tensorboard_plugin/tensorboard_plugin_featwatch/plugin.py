"""The plugin's routes: HTTP in and out, as `http_api.md` says.  What the answers are is in `queries`.

Every route is GET and changes nothing.  TensorBoard checks neither the Host header nor the method, so
this is all that stands between a foreign web page and the logs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging
from werkzeug import Request, Response

from featwatch import wire
from featwatch.development import fields_of, kinds
from featwatch.records import KINDS
from featwatch.wire import AXES, PLUGIN
from tensorboard_plugin_featwatch.development import MAX_FILTERS
from tensorboard_plugin_featwatch.frames import to_json
from tensorboard_plugin_featwatch.queries import NotRecorded, Queries, StaleGeneration, TooMuch
from tensorboard_plugin_featwatch.source import Source
from tensorboard_plugin_featwatch.static_files import static_file
from tensorboard_plugin_featwatch.trails import MAX_SAMPLES

CACHE_SECONDS = 24 * 3600

_logger = tb_logging.get_logger()


class MethodNotAllowed(errors.PublicError):
    """The routes only read."""

    http_code = 405

    def __init__(self) -> None:
        super().__init__("Method not allowed: only GET is")
        self.headers.append(("Allow", "GET"))


class Conflict(errors.PublicError):
    """The address is of a generation that is over."""

    http_code = 409


class Unavailable(errors.PublicError):
    """TensorBoard's data could not be read just now."""

    http_code = 503


class FeatwatchPlugin(base_plugin.TBPlugin):
    """The tab "Featwatch"."""

    plugin_name = PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        # Never context.logdir or context.multiplexer: they do not exist under every loader.
        self._provider = context.data_provider
        self._queries = Queries()

    def get_plugin_apps(self) -> dict[str, Any]:
        return {
            "/index": self._route(self._index),
            "/run": self._route(self._run),
            "/numbers": self._route(self._numbers),
            "/records": self._route(self._records),
            "/events": self._route(self._events),
            "/trails": self._route(self._trails),
            "/development": self._route(self._development),
            "/numbering": self._route(self._numbering),
            "/sprite": self._route(self._sprite),
            "/static/*": self._route(self._static),
        }

    def is_active(self) -> bool:
        """False: TensorBoard itself makes a tab active whose plugin has data."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name="Featwatch")

    def _route(self, answer: Callable[[Request], Response]) -> Any:
        """A WSGI application that answers GET, and turns whatever goes wrong into a status and a sentence."""

        @Request.application
        @functools.wraps(answer)
        def application(request: Request) -> Response:
            if request.method != "GET":
                raise MethodNotAllowed
            try:
                return answer(request)
            except errors.PublicError:
                raise
            except NotRecorded as error:
                raise errors.NotFoundError(str(error)) from error
            except TooMuch as error:
                raise errors.InvalidArgumentError(str(error)) from error
            except StaleGeneration as error:
                raise Conflict(f"Stale generation: {error}") from error
            except Exception as error:
                _logger.error("featwatch could not answer %s", request.path, exc_info=True)
                raise Unavailable(f"TensorBoard's data could not be read ({type(error).__name__}); its log says more") from error

        return application

    def _index(self, request: Request) -> Response:
        return _json(request, self._queries.index(self._source(request), request.args.get("etag", "")))

    def _run(self, request: Request) -> Response:
        run, generation = _required(request, "run"), _required(request, "generation")
        return _json(request, self._queries.run(self._source(request), run, generation))

    def _numbers(self, request: Request) -> Response:
        run, generation = _required(request, "run"), _required(request, "generation")
        after, axis = _time(request, "after"), _axis(request)
        return _json(request, self._queries.numbers(self._source(request), run, generation, after, axis))

    def _records(self, request: Request) -> Response:
        run, generation, kind = (_required(request, name) for name in ("run", "generation", "kind"))
        if kind not in KINDS:
            raise errors.InvalidArgumentError(f"kind must be one of {', '.join(KINDS)}")
        epoch, layers = _whole(request, "epoch"), request.args.getlist("layer")
        frame = self._queries.records(self._source(request), run, generation, kind, epoch, layers, _axis(request))
        return _respond(request, frame.content, "application/octet-stream", final=frame.final)

    def _events(self, request: Request) -> Response:
        run, generation = _required(request, "run"), _required(request, "generation")
        return _json(request, self._queries.events(self._source(request), run, generation, _axis(request)))

    def _trails(self, request: Request) -> Response:
        run, generation = _required(request, "run"), _required(request, "generation")
        over = request.args.get("over", "epochs")
        if over not in ("epochs", "layers"):
            raise errors.InvalidArgumentError("over= must be epochs or layers")
        asked, samples = (self._source(request), run, generation), _numbers(request, "sample", MAX_SAMPLES)
        if over == "layers":
            frame = self._queries.trails_over_layers(*asked, _whole(request, "epoch"), samples, _axis(request))
        else:
            frame = self._queries.trails(*asked, _required(request, "layer"), samples, _axis(request))
        return _respond(request, frame.content, "application/octet-stream", final=frame.final)

    def _development(self, request: Request) -> Response:
        run, generation, kind, layer = (_required(request, name) for name in ("run", "generation", "kind", "layer"))
        if kind not in kinds():
            raise errors.InvalidArgumentError(f"kind must be one of {', '.join(kinds())}")
        fields, known = list(dict.fromkeys(request.args.getlist("field"))), fields_of(kind)
        if not fields or not set(fields) <= set(known):
            raise errors.InvalidArgumentError(f"field= must be given, once for each of some of {', '.join(known)}")
        filters = _numbers(request, "filter", MAX_FILTERS) if "filter" in request.args else None
        at = _whole(request, "at") if "at" in request.args else None
        asked = self._source(request), run, generation, kind, layer, fields, filters, _axis(request), at
        frame = self._queries.development(*asked)
        return _respond(request, frame.content, "application/octet-stream", final=frame.final)

    def _numbering(self, request: Request) -> Response:
        run, generation, layer = (_required(request, name) for name in ("run", "generation", "layer"))
        return _json(request, self._queries.numbering(self._source(request), run, generation, layer, _axis(request)))

    def _sprite(self, request: Request) -> Response:
        run, generation = _required(request, "run"), _required(request, "generation")
        return _respond(request, self._queries.sprite(self._source(request), run, generation), "image/png", final=True)

    def _static(self, request: Request) -> Response:
        found = static_file(request.path.partition(f"/plugin/{PLUGIN}/static/")[2])
        if found is None:
            raise errors.NotFoundError("no such file")
        return _respond(request, *found)

    def _source(self, request: Request) -> Source:
        return Source(self._provider, plugin_util.context(request.environ), plugin_util.experiment_id(request.environ))


def _respond(request: Request, content: bytes | str, content_type: str, *, final: bool = False) -> Response:
    return http_util.Respond(request, content, content_type, expires=CACHE_SECONDS if final else 0)


def _json(request: Request, answer: Any) -> Response:
    return _respond(request, to_json(answer), "application/json")


def _required(request: Request, name: str) -> str:
    value = request.args.get(name)
    if not value:
        raise errors.InvalidArgumentError(f"{name}= is missing")
    return value


def _whole(request: Request, name: str) -> int:
    return _whole_number(_required(request, name), name)


def _numbers(request: Request, name: str, most: int) -> list[int]:
    """Of samples or filters."""
    texts = request.args.getlist(name)
    if not 1 <= len(texts) <= most:
        raise errors.InvalidArgumentError(f"{name}= must be given once for each {name}, 1 to {most} times")
    numbers = [_whole_number(text, name) for text in texts]
    if max(numbers) >= wire.MAX_ELEMENTS:
        raise errors.InvalidArgumentError(f"{name}= must be the number of a {name}")
    return numbers


def _whole_number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):       # 2^53 has 16 digits
        raise errors.InvalidArgumentError(f"{name}= must be a whole number, 0 or more")
    return int(text)


def _axis(request: Request) -> str:
    axis = request.args.get("axis", AXES[0])
    if axis not in AXES:
        raise errors.InvalidArgumentError(f"axis= must be one of {', '.join(AXES)}")
    return axis


def _time(request: Request, name: str) -> float | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise errors.InvalidArgumentError(f"{name}= must be a time in seconds")
    return value
