"""Starts os-ken 1.4.1 (or Ryu 4.34, with CONTROLLER=ryu) on a Python of today.

Both import `eventlet.wsgi.ALREADY_HANDLED`, which eventlet dropped in 0.31, while the eventlet releases that still have it
do not import on Python 3.10 and later. The name is put back before the controller is imported; nothing that is installed
is changed. Only websocket endpoints use it.

    python start.py --observe-links --wsapi-host 127.0.0.1 os_ken.app.ofctl_rest os_ken.app.rest_topology watermaster_batch.py
"""

import importlib
import os
import sys
import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning)

import eventlet  # noqa: E402

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402

if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
    eventlet.wsgi.ALREADY_HANDLED = []

package = os.environ.get("CONTROLLER", "os_ken")
if package not in ("os_ken", "ryu"):
    sys.exit("CONTROLLER is os_ken or ryu")
main = importlib.import_module(package + ".cmd.manager").main
sys.argv[0] = package
sys.exit(main())
