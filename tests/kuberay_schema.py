"""The fields of a RayService that are KubeRay's own, as a JSON schema, for its manifest's test.

By the types of ray.io/v1 in ray-project/kuberay, ray-operator/apis/ray/v1: raycluster_types.go at
3275ee09f6a6c899c37e82ea6349785536de6bd4 and rayservice_types.go at
834fe3a876c5b5631ffc2e33f82dca3a6f31137d, from which KubeRay makes its CRD. Pod templates, services
and parts of containers are Kubernetes' own types: any object here, checked by kubernetes-validate.
A field without "omitempty" is required, as in a CRD; a name that is not there is an error, as for
`kubectl --validate`.
"""

from __future__ import annotations

from typing import Any

STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
INT32 = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
STRINGS = {"type": "object", "additionalProperties": STRING}
KUBERNETES = {"type": "object"}


def fields(required: str, **properties: Any) -> dict[str, Any]:
    """Of an object that has no others. required: names, with spaces between them."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


AUTOSCALER = fields(
    "",
    resources=KUBERNETES,
    image=STRING,
    imagePullPolicy=STRING,
    securityContext=KUBERNETES,
    idleTimeoutSeconds=INT32,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    env=list_of(KUBERNETES),
    envFrom=list_of(KUBERNETES),
    volumeMounts=list_of(KUBERNETES),
)
CREDENTIAL = fields("", valueFrom=KUBERNETES, value=STRING)
FAULT_TOLERANCE = fields(
    "redisAddress",
    redisUsername=CREDENTIAL,
    redisPassword=CREDENTIAL,
    externalStorageNamespace=STRING,
    redisAddress=STRING,
)
HEAD = fields(
    "template rayStartParams",
    template=KUBERNETES,
    headService=KUBERNETES,
    enableIngress=BOOLEAN,
    rayStartParams=STRINGS,
    serviceType=STRING,
)
# minReplicas and maxReplicas are required, and have defaults that the API server sets first.
WORKERS = fields(
    "groupName rayStartParams template",
    suspend=BOOLEAN,
    groupName=STRING,
    replicas=INT32,
    minReplicas=INT32,
    maxReplicas=INT32,
    idleTimeoutSeconds=INT32,
    rayStartParams=STRINGS,
    template=KUBERNETES,
    scaleStrategy=fields("", workersToDelete=list_of(STRING)),
    numOfHosts=INT32,
)
CLUSTER = fields(
    "headGroupSpec",
    suspend=BOOLEAN,
    managedBy={"enum": ["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"]},
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=STRINGS,
    enableInTreeAutoscaling=BOOLEAN,
    gcsFaultToleranceOptions=FAULT_TOLERANCE,
    headGroupSpec=HEAD,
    rayVersion=STRING,
    workerGroupSpecs=list_of(WORKERS),
)
RAY_SERVICE = fields(
    "apiVersion kind metadata",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayService"},
    metadata=KUBERNETES,
    spec=fields(
        "",
        serveConfigV2=STRING,
        rayClusterConfig=CLUSTER,
        serviceUnhealthySecondThreshold=INT32,
        deploymentUnhealthySecondThreshold=INT32,
        serveService=KUBERNETES,
    ),
)
