"""The API server, as a pod's service account reaches it. Two PATCH requests: no client library."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flopgate_proto.errors import ConfigError, EnvironmentFault

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S: Final = 10.0
_PATCH: Final = "application/strategic-merge-patch+json"
_SAID_MAX: Final = 300


class ApiServer:
    """Patches one node.

    Args:
        url: of the API server, https.
        account: folder with the service account's ``token`` and ``ca.crt``.
        node: name of the node.

    Raises:
        ConfigError: the folder holds no usable certificate.
    """

    def __init__(self, url: str, account: Path, node: str) -> None:
        self._url = f"{url}/api/v1/nodes/{urllib.parse.quote(node, safe='')}"
        self._token = account / "token"
        try:
            self._tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use {account / 'ca.crt'}: {error}",
                code="k8s.account",
                remedy="Run this in a pod with a service account.",
            ) from error
        # Clusters whose own CA is older than Python 3.13's strictness are reached all the same.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def patch(self, body: Mapping[str, Any], part: str = "") -> None:
        """Patch the node, or its ``/status``.

        Raises:
            EnvironmentFault: it did not.
        """
        try:
            # Read anew each time: the kubelet renews it.
            token = self._token.read_text(encoding="ascii").strip()
            request = urllib.request.Request(  # noqa: S310  # the scheme is checked in `in_pod`
                self._url + part,
                data=json.dumps(body).encode(),
                method="PATCH",
                headers={"Authorization": f"Bearer {token}", "Content-Type": _PATCH},
            )
            with urllib.request.urlopen(  # noqa: S310  # as above
                request, timeout=TIMEOUT_S, context=self._tls
            ) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            said = error.read(_SAID_MAX).decode(errors="replace")
            raise EnvironmentFault(
                f"the API server answers {error.code}: {said}",
                code="k8s.refused",
                remedy="Check the ClusterRole in packaging/kubernetes, and the node's name.",
            ) from error
        except (OSError, ValueError) as error:
            raise EnvironmentFault(
                f"the API server is not reached: {error}",
                code="k8s.unreachable",
                remedy="Tried again by itself.",
            ) from error


def in_pod(environ: Mapping[str, str] = os.environ) -> str:
    """Address of the API server, as every pod is told.

    Raises:
        ConfigError: this is no pod.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError(
            "KUBERNETES_SERVICE_HOST is not set",
            code="k8s.pod",
            remedy="Run this in a pod, or name --api-server.",
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
