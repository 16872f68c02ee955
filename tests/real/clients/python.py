"""The tutorial's Python recipe: a client generated from the document by openapi-python-client."""

import os

from watermaster_client import Client
from watermaster_client.api.allocations import allocation_create, allocation_release
from watermaster_client.models import AllocationRequest, Problem

client = Client(base_url=os.environ.get("WATERMASTER", "http://127.0.0.1:8080"))
request = AllocationRequest(topology="nsfnet", ingress="WA", egress="NJ", qos_level=1, bandwidth_bps=14_000_000)
admitted = allocation_create.sync(client=client, body=request)
if isinstance(admitted, Problem):
    raise SystemExit(f"{admitted.title}: {admitted.detail}")
print(f"admitted {admitted.id} over {', '.join(admitted.path)}")
allocation_release.sync_detailed(client=client, id=admitted.id)
