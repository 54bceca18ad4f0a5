"""Runs all of Cinder's services in one process. They then reach each other through its memory (fake://) and need no
message broker.

usage: cinder.py --config-file FILE
"""
# Importing a command makes the process cooperative, which must come before all else, and makes its options known.
from cinder.cmd import volume as volume_command
from cinder.cmd import backup as backup_command  # noqa: F401

import os
import sys

import eventlet
import os_brick
from os_brick import privileged
from oslo_config import cfg
from oslo_log import log
from oslo_service import service as launching

from cinder import context, coordination, objects, privsep, rpc, service, utils, version
from cinder.common import config

CONF = cfg.CONF


def configure():
    objects.register_all()
    # The manager brings the options of the drivers, and can be imported only now.
    import cinder.backup.manager  # noqa: F401

    CONF(sys.argv[1:], project="cinder", version=version.version_string())
    config.set_middleware_defaults()
    log.setup(CONF, "cinder")
    utils.monkey_patch()
    os_brick.setup(CONF)
    coordination.COORDINATOR.start()
    rpc.init(CONF)


def stay_root():
    """Does here what services that are not root's leave to a helper under sudo."""
    for context in (privsep.sys_admin_pctxt, privileged.default):
        context.set_client_mode(False)


def report_apart():
    """Keeps the services' signs of life apart: the row that is renewed is remembered for the process, not for each."""
    renew = service.Service.report_state

    def report_state(self):
        service.Service.service_id = self.origin_service_id
        renew(self)

    service.Service.report_state = report_state


def backends():
    for name in CONF.enabled_backends:
        CONF.register_opt(volume_command.host_opt, group=name)
        host = "%s@%s" % (CONF[name].backend_host or CONF.host, name)
        yield service.Service.create(host=host, binary="cinder-volume", service_name=name, coordination=True)


def announce(scheduler):
    """Makes a file as soon as the scheduler knows who keeps volumes and who makes backups, which no API tells. It asks
    them, since who was not ready when it told of itself does so again only after a while.
    """
    known = scheduler.manager.driver.host_manager
    while not (known.service_states and any(b["backend_state"] for b in known.backup_service_states.values())):
        eventlet.sleep(0.3)
        scheduler.manager.request_service_capabilities(context.get_admin_context())
    open(os.path.join(CONF.state_path, "ready"), "w").close()


def services():
    scheduler = service.Service.create(binary="cinder-scheduler")
    eventlet.spawn(announce, scheduler)
    yield scheduler
    yield from backends()
    slots = utils.semaphore_factory(CONF.backup_max_operations, 1)
    yield service.Service.create(
        binary="cinder-backup", service_name="backup", coordination=True, process_number=1, semaphore=slots)
    yield service.WSGIService("osapi_volume")


def main():
    configure()
    stay_root()
    report_apart()
    launcher = launching.ServiceLauncher(CONF)
    for one in services():
        launcher.launch_service(one)
    launcher.wait()


main()
