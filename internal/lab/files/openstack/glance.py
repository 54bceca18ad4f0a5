"""Serves Glance's API.

usage: glance.py --config-file FILE
"""
import sys

from glance.cmd import api

sys.exit(api.main())
