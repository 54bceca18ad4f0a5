"""Serves Keystone's API on 127.0.0.1, with threads and without a web server.

usage: keystone.py PORT --config-file FILE
"""
import sys

from keystone.server import wsgi
from werkzeug import serving


def main():
    port = int(sys.argv.pop(1))
    api = wsgi.initialize_public_application()
    serving.make_server("127.0.0.1", port, api, threaded=True).serve_forever()


main()
