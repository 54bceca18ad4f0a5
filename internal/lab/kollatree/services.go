package kollatree

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// service is one container's configuration directory on the hosts of a group.
type service struct {
	name    string
	group   string // "" is every host
	conf    string // its main configuration file
	db      string // database it uses, "" for none; user and password key are named after it
	command string
}

// services are what a small Kolla deployment runs; the next one is one line.
var services = []service{
	{"cron", "", "logrotate.conf", "", "cron -f"},
	{"fluentd", "", "fluentd.conf", "", "fluentd -o /var/log/kolla/fluentd/fluentd.log"},
	{"kolla-toolbox", "", "rabbitmq-erl_inetrc", "", "sleep infinity"},
	{"mariadb", "control", "galera.cnf", "", "/usr/sbin/mariadbd"},
	{"rabbitmq", "control", "rabbitmq.conf", "", "/usr/sbin/rabbitmq-server"},
	{"memcached", "control", "memcached.conf", "", "/usr/bin/memcached -u memcache"},
	{"etcd", "control", "etcd.conf", "", "etcd"},
	{"haproxy", "control", "haproxy.cfg", "", "/etc/haproxy/haproxy_run.sh"},
	{"proxysql", "control", "proxysql.yaml", "", "/etc/proxysql_run.sh"},
	{"keepalived", "control", "keepalived.conf", "", "/usr/sbin/keepalived -nld -p /run/keepalived.pid"},
	{"keystone", "control", "keystone.conf", "keystone", "/usr/bin/keystone-startup.sh"},
	{"keystone-fernet", "control", "fernet-cron.conf", "", "fernet-push.sh"},
	{"keystone-ssh", "control", "sshd_config", "", "/usr/sbin/sshd -D"},
	{"glance-api", "control", "glance-api.conf", "glance", "glance-api"},
	{"placement-api", "control", "placement.conf", "placement", "apache2ctl -D FOREGROUND"},
	{"nova-api", "control", "nova.conf", "nova", "nova-api"},
	{"nova-scheduler", "control", "nova.conf", "nova", "nova-scheduler"},
	{"nova-conductor", "control", "nova.conf", "nova", "nova-conductor"},
	{"nova-novncproxy", "control", "nova.conf", "nova", "nova-novncproxy"},
	{"neutron-server", "control", "neutron.conf", "neutron", "neutron-server"},
	{"cinder-api", "control", "cinder.conf", "cinder", "cinder-api"},
	{"cinder-scheduler", "control", "cinder.conf", "cinder", "cinder-scheduler"},
	{"heat-api", "control", "heat.conf", "heat", "heat-api"},
	{"horizon", "control", "_9998-kolla-settings.py", "", "apache2ctl -D FOREGROUND"},
	{"barbican-api", "control", "barbican.conf", "barbican", "uwsgi --master"},
	{"octavia-api", "control", "octavia.conf", "octavia", "octavia-api"},
	{"octavia-worker", "control", "octavia.conf", "octavia", "octavia-worker"},
	{"nova-compute", "compute", "nova.conf", "", "nova-compute"},
	{"nova-libvirt", "compute", "libvirtd.conf", "", "/usr/sbin/libvirtd --listen"},
	{"nova-ssh", "compute", "sshd_config", "", "/usr/sbin/sshd -D"},
	{"neutron-openvswitch-agent", "compute", "neutron.conf", "", "neutron-openvswitch-agent"},
	{"neutron-dhcp-agent", "network", "neutron.conf", "", "neutron-dhcp-agent"},
	{"neutron-l3-agent", "network", "neutron.conf", "", "neutron-l3-agent"},
	{"neutron-metadata-agent", "network", "neutron.conf", "", "neutron-metadata-agent"},
	{"cinder-volume", "storage", "cinder.conf", "cinder", "cinder-volume"},
	{"cinder-backup", "storage", "cinder.conf", "cinder", "cinder-backup"},
	{"prometheus-server", "monitoring", "prometheus.yml", "", "/opt/prometheus/prometheus"},
	{"grafana", "monitoring", "grafana.ini", "grafana", "/usr/sbin/grafana-server"},
}

// services writes a host's /etc/kolla.
func (w *writer) services(h HostSpec) {
	w.dir(h.EtcKolla, 0o755, root)
	for _, s := range services {
		if s.group == "" || slices.Contains(h.Groups, s.group) {
			w.service(filepath.Join(h.EtcKolla, s.name), s)
		}
	}
	if slices.Contains(h.Groups, "control") {
		w.controlExtras(h.EtcKolla)
	}
	if slices.Contains(h.Groups, "compute") {
		w.computeExtras(h.EtcKolla)
	}
	for name, text := range h.Files {
		w.file(filepath.Join(h.EtcKolla, name), 0o660, root, text)
	}
}

// service writes config.json and the main configuration file, readable by root alone, as Kolla renders them.
func (w *writer) service(dir string, s service) {
	w.dir(dir, 0o770, root)
	w.file(dir+"/config.json", 0o660, root, s.configJSON())
	w.file(dir+"/"+s.conf, 0o660, root, w.rendered(s))
	if filepath.Ext(s.conf) == ".conf" && s.db != "" {
		w.file(dir+"/ca-certificates/kolla-customca-root.crt", 0o644, root, "see /etc/kolla/certificates/ca/root.crt\n")
	}
}

func (s service) configJSON() string {
	type file struct {
		Source string `json:"source"`
		Dest   string `json:"dest"`
		Owner  string `json:"owner"`
		Perm   string `json:"perm"`
	}
	project, _, _ := strings.Cut(s.name, "-")
	b, err := json.MarshalIndent(map[string]any{
		"command":      s.command,
		"config_files": []file{{"/var/lib/kolla/config_files/" + s.conf, "/etc/" + project + "/" + s.conf, project, "0600"}},
		"permissions":  []map[string]any{{"path": "/var/log/kolla/" + project, "owner": project + ":" + project, "recurse": true}},
	}, "", "    ")
	if err != nil {
		panic(fmt.Sprintf("render config.json: %v", err))
	}
	return string(b) + "\n"
}

// rendered is a service's main configuration with its secrets in clear, which is how Kolla leaves it.
func (w *writer) rendered(s service) string {
	pw := func(key string) string { return w.passwords[key] }
	switch {
	case s.name == "mariadb":
		return "[mysqld]\ndatadir=/var/lib/mysql/\nlog_bin=mysql-bin\nbinlog_format=ROW\nwsrep_sst_method=mariabackup\n" +
			"wsrep_sst_auth=root:" + pw("database_password") + "\n"
	case s.name == "rabbitmq":
		return "default_user = openstack\ndefault_pass = " + pw("rabbitmq_password") + "\n"
	case s.name == "proxysql":
		return "admin_variables:\n  admin_credentials: \"kolla-admin:" + pw("proxysql_admin_password") + "\"\n"
	case s.db != "":
		return fmt.Sprintf("[DEFAULT]\ntransport_url = rabbit://openstack:%s@192.0.2.11:5672//\n\n[database]\n"+
			"connection = mysql+pymysql://%s:%s@internal.example.org:3306/%s\n\n[keystone_authtoken]\nusername = %s\npassword = %s\n",
			pw("rabbitmq_password"), s.db, pw(s.db+"_database_password"), s.db, s.db, pw(s.db+"_keystone_password"))
	}
	return "# " + s.name + " of " + w.spec.Cloud + "\n"
}

// controlExtras are what stands beside the plain pairs of files on a control host.
func (w *writer) controlExtras(etc string) {
	w.file(etc+"/rabbitmq/.erlang.cookie", 0o600, root, w.passwords["rabbitmq_cluster_cookie"])
	w.file(etc+"/barbican-api/barbican-kek.conf", 0o600, root, "[simple_crypto_plugin]\nkek = "+w.passwords["barbican_crypto_key"]+"\n")
	w.file(etc+"/keystone-fernet/id_rsa", 0o600, root, w.keys["keystone_ssh_key"].private)
	w.file(etc+"/keystone-ssh/id_rsa.pub", 0o644, root, w.keys["keystone_ssh_key"].public+"\n")
	w.file(etc+"/glance-api/ceph.conf", 0o660, root, w.cephConf())
	w.file(etc+"/haproxy/services.d/mariadb.cfg", 0o660, root, "listen mariadb\n  mode tcp\n  bind 192.0.2.10:3306\n")
	w.file(etc+"/haproxy/haproxy_run.sh", 0o770, root, "#!/bin/bash -x\nexec haproxy -W -db\n")
	w.symlink("services.d", etc+"/haproxy/services")
	w.symlink("/nonexistent/target", etc+"/haproxy/dangling.cfg")
	w.ignored(etc+"/haproxy/haproxy.pid", root, "4711\n")
	w.ignored(etc+"/mariadb/mariadb.log", root, "[Note] WSREP: synced\n")
	w.socket(etc + "/proxysql/admin.sock")
}

func (w *writer) computeExtras(etc string) {
	dir := etc + "/nova-libvirt/secrets/"
	for _, key := range []string{"cinder_rbd_secret_uuid", "rbd_secret_uuid"} {
		id := w.passwords[key]
		w.file(dir+id+".xml", 0o600, root, "<secret ephemeral='no' private='no'>\n  <uuid>"+id+"</uuid>\n  <usage type='ceph'><name>client.cinder secret</name></usage>\n</secret>\n")
		w.file(dir+id+".base64", 0o600, root, cephKey())
	}
	w.file(etc+"/nova-compute/ceph.conf", 0o660, root, w.cephConf())
	w.file(etc+"/nova-ssh/id_rsa", 0o600, root, w.keys["nova_ssh_key"].private)
	w.ignored(etc+"/nova-compute/nova-compute.log", root, "INFO nova.compute.manager\n")
	w.ignored(etc+"/nova-libvirt/libvirtd.pid", root, "815\n")
	w.socket(etc + "/nova-libvirt/libvirt-sock")
}
