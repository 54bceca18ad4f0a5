package lab

import (
	"context"
	"embed"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/lab/openstack"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

//go:embed files/openstack
var openstackFiles embed.FS

const (
	openstackHost     = "ctl1"
	openstackOffset   = 103 // of the ports of Keystone, Glance and Cinder, in the lab's block
	openstackPatience = time.Minute
)

// OpenStack is the lab's Keystone, Glance and Cinder. They serve the databases that the lab's rows are in, and the pools
// that hold what the rows speak of, with the passwords of Kolla's passwords.yml.
type OpenStack struct {
	Identity string // Keystone's URL, with its version
	Image    string // Glance's
	Volume   string // Cinder's
	Pool     string // Cinder's name of the pool volumes, for what is to be managed by it
	Openrc   string // a file for the shell of who administers the cloud
}

func (l *Lab) openstackDir() string { return l.path("openstack") }

// planOpenStack gives the services their places.
func (l *Lab) planOpenStack() {
	at := func(service int) string { return fmt.Sprintf("http://127.0.0.1:%d", l.openstackPort(service)) }
	l.OpenStack = &OpenStack{
		Identity: at(0) + "/v3", Image: at(1), Volume: at(2) + "/v3",
		Pool: "rbd:volumes@rbd-1#rbd-1", Openrc: l.path("secrets", "openrc"),
	}
}

func (l *Lab) openstackPort(service int) int { return l.PortBase + openstackOffset + service }

// openstackSteps starts the services and has them make an image and volumes.
func (l *Lab) openstackSteps() []step {
	return []step{
		{"openstack: users, passwords, endpoints", l.introduceOpenStack},
		{"openstack: Keystone, Glance, Cinder", l.startOpenStack},
		{"openstack: an image, volumes", l.fillOpenStack},
	}
}

// introduceOpenStack makes the services known to the database and to Ceph, and writes what they read.
func (l *Lab) introduceOpenStack(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		sql, err := l.openstackRows()
		if err != nil {
			return err
		}
		_, err = l.SQL(ctx, openstackHost, sql)
		return err
	})
	g.Go(func() error { return l.writeCephUsers(ctx) })
	g.Go(l.writeOpenStack)
	return g.Wait()
}

// cephUsers are the services' users of Ceph, with what Ceph's documentation lets them do. Glance finds out by the pool
// volumes whether an image has clones.
var cephUsers = [][]string{
	{"glance", "mon", "profile rbd", "mgr", "profile rbd", "osd", "profile rbd pool=images, profile rbd-read-only pool=volumes, profile rbd-read-only pool=vms"},
	{"cinder", "mon", "profile rbd", "mgr", "profile rbd", "osd", "profile rbd pool=volumes, profile rbd pool=vms, profile rbd pool=images"},
	{"cinder-backup", "mon", "profile rbd", "mgr", "profile rbd", "osd", "profile rbd pool=backups"},
}

// writeCephUsers makes the users, whose keys lie where the services' host has them.
func (l *Lab) writeCephUsers(ctx context.Context) error {
	all := ""
	for _, u := range cephUsers {
		text := entity("client."+u[0], u[1:]...)
		all += text
		if err := l.giveHost(ctx, "/etc/ceph/ceph.client."+u[0]+".keyring", text); err != nil {
			return err
		}
	}
	if err := l.put("ceph/keyring.openstack", 0o600, all); err != nil {
		return err
	}
	at := l.PortBase + cephOffset
	conf, err := l.openstackFile("ceph.conf.tmpl", map[string]any{"FSID": l.Ceph.FSID, "MonPort": at, "OldMonPort": at + 1})
	if err != nil {
		return err
	}
	if err := l.giveHost(ctx, "/etc/ceph/ceph.conf", conf); err != nil {
		return err
	}
	_, err = l.Run(ctx, cephHost, "ceph", "-c", l.Ceph.Conf, "auth", "import", "-i", filepath.Join(l.cephDir(), "keyring.openstack"))
	return err
}

// giveHost writes a file on the services' host, which is in that host's memory alone.
func (l *Lab) giveHost(ctx context.Context, file, text string) error {
	cmd, err := l.Command(ctx, openstackHost, "install", "-D", "-m", "600", "/dev/stdin", file)
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(text)
	_, err = output(cmd)
	return err
}

// serviceFacts are what the templates of the services' files are filled with.
type serviceFacts struct {
	l                                      *Lab
	Dir, Host, Identity, Secret, TokenKeys string
	IdentityPort, ImagePort, VolumePort    int
}

func (l *Lab) serviceFacts() serviceFacts {
	return serviceFacts{
		l: l, Dir: l.openstackDir(), Host: openstackHost, Identity: l.OpenStack.Identity,
		Secret:       l.Kolla.Passwords["cinder_rbd_secret_uuid"],
		TokenKeys:    filepath.Join(l.HostDir(openstackHost), "var-lib-docker/volumes/keystone_fernet_tokens/_data"),
		IdentityPort: l.openstackPort(0), ImagePort: l.openstackPort(1), VolumePort: l.openstackPort(2),
	}
}

// Database is where a service finds its database.
func (f serviceFacts) Database(service string) (string, error) {
	n, err := f.l.Node(openstackHost)
	u := url.URL{
		Scheme: "mysql+pymysql", Host: "127.0.0.1:" + strconv.Itoa(n.SQLPort), Path: service, RawQuery: "charset=utf8",
		User: url.UserPassword(service, f.l.Kolla.Passwords[service+"_database_password"]),
	}
	return u.String(), err
}

// Login is how a service asks Keystone who somebody is.
func (f serviceFacts) Login(service string) (string, error) {
	return f.l.openstackFile("login.tmpl", map[string]any{
		"Dir": f.Dir, "Identity": f.Identity, "User": service, "Password": f.l.Kolla.Passwords[service+"_keystone_password"],
	})
}

func (l *Lab) openstackFile(name string, data any) (string, error) {
	text, err := openstackFiles.ReadFile("files/openstack/" + name)
	if err != nil || data == nil {
		return string(text), err
	}
	return render(string(text), data)
}

// writeOpenStack writes the services' programs and configuration, and the openrc.
func (l *Lab) writeOpenStack() error {
	for _, d := range []string{"tasks", "staging", "cinder", "lock", "log"} {
		if err := os.MkdirAll(filepath.Join(l.openstackDir(), d), 0o700); err != nil {
			return fmt.Errorf("create directory for OpenStack: %w", err)
		}
	}
	facts := l.serviceFacts()
	for name, data := range map[string]any{
		"keystone.py": nil, "glance.py": nil, "cinder.py": nil, "glance-paste.ini": nil, "cinder-paste.ini": nil, "cinder-filters.json": nil,
		"keystone.conf.tmpl": facts, "glance.conf.tmpl": facts, "cinder.conf.tmpl": facts,
	} {
		text, err := l.openstackFile(name, data)
		if err != nil {
			return err
		}
		if err := l.put(filepath.Join("openstack", strings.TrimSuffix(name, ".tmpl")), 0o600, text); err != nil {
			return err
		}
	}
	return l.put("secrets/openrc", 0o600, l.openrc())
}

// openrc is what Kolla writes into admin-openrc.sh.
func (l *Lab) openrc() string {
	var b strings.Builder
	for _, v := range [][2]string{
		{"AUTH_URL", l.OpenStack.Identity}, {"USERNAME", adminUser}, {"PASSWORD", l.adminPassword()}, {"PROJECT_NAME", adminProject},
		{"USER_DOMAIN_NAME", "Default"}, {"PROJECT_DOMAIN_NAME", "Default"}, {"REGION_NAME", "RegionOne"},
		{"IDENTITY_API_VERSION", "3"}, {"INTERFACE", "public"},
	} {
		fmt.Fprintf(&b, "export OS_%s=%s\n", v[0], v[1])
	}
	return b.String()
}

const adminUser, adminProject = "admin", "admin"

func (l *Lab) adminPassword() string { return l.Kolla.Passwords["keystone_admin_password"] }

// startOpenStack starts the services, detached, and waits until Cinder can place volumes.
func (l *Lab) startOpenStack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openstackPatience)
	defer cancel()
	for _, s := range []struct {
		name string
		args []string
	}{{"keystone", []string{strconv.Itoa(l.openstackPort(0))}}, {"glance", nil}, {"cinder", nil}} {
		if err := l.startService(ctx, s.name, s.args...); err != nil {
			return err
		}
	}
	err := l.awaitOpenStack(ctx)
	if err != nil {
		for _, name := range []string{"keystone", "glance", "cinder"} {
			err = fmt.Errorf("%w\n%s: ...%s", err, name, tail(filepath.Join(l.openstackDir(), "log", name+".log")))
		}
	}
	return err
}

// detached runs a program in a session of its own; its log is the first argument. Beside the log lies how it ended.
const detached = `log=$1; shift; (setsid --wait "$@"; echo "$?" >"$log.ended") </dev/null >>"$log" 2>&1 &`

func (l *Lab) startService(ctx context.Context, name string, args ...string) error {
	dir := l.openstackDir()
	line := []string{"/bin/sh", "-c", detached, "start", filepath.Join(dir, "log", name+".log"),
		"/usr/bin/python3", "-I", "-W", "ignore", filepath.Join(dir, name+".py")} // the service is not to take the program for itself
	line = append(append(line, args...), "--config-file", filepath.Join(dir, name+".conf"))
	_, err := l.Run(ctx, openstackHost, line...)
	return err
}

// awaitOpenStack waits until all three answer and Cinder's services are at work.
func (l *Lab) awaitOpenStack(ctx context.Context) error {
	var last error
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if ended, _ := filepath.Glob(filepath.Join(l.openstackDir(), "log", "*.ended")); len(ended) > 0 {
			return false, fmt.Errorf("a service ended: %s", filepath.Base(ended[0]))
		}
		last = l.openstackReady(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until OpenStack is ready: %w: %w", err, last)
	}
	return nil
}

func (l *Lab) openstackReady(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(l.openstackDir(), "cinder", "ready")); err != nil {
		return err
	}
	cloud, err := l.Cloud(ctx)
	if err != nil {
		return err
	}
	return cloud.Ready(ctx)
}

// Cloud logs in to the lab's Keystone as the administrator.
func (l *Lab) Cloud(ctx context.Context) (*openstack.Cloud, error) {
	if l.OpenStack == nil {
		return nil, problem.New(problem.Usage, "bring it up with --openstack", "the lab in %s has no OpenStack", l.Options.Dir)
	}
	return openstack.Login(ctx, openstack.Access{
		Identity: l.OpenStack.Identity, User: adminUser, Password: secret.New(l.adminPassword()), Project: adminProject,
	})
}

// OpenStackErrors are the lines of the services' logs that tell of errors, for the message of a test that failed.
func (l *Lab) OpenStackErrors() string {
	var found strings.Builder
	logs, _ := filepath.Glob(filepath.Join(l.openstackDir(), "log", "*.log"))
	for _, log := range logs {
		text, _ := os.ReadFile(log)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " ERROR ") || strings.Contains(line, " CRITICAL ") {
				found.WriteString(filepath.Base(log) + ": " + line)
			}
		}
	}
	return found.String()
}

// fillOpenStack has the services make what most clouds have: an image, a volume to boot from, and one with a snapshot.
func (l *Lab) fillOpenStack(ctx context.Context) error {
	if l.Options.EmptyPools {
		return nil
	}
	cloud, err := l.Cloud(ctx)
	if err != nil {
		return err
	}
	image, err := cloud.Upload(ctx, "lab-image", openstack.Content(8<<20, 1))
	if err != nil {
		return err
	}
	if _, err := cloud.Create(ctx, openstack.NewVolume{Name: "lab-boot", GiB: 1, Image: image.ID}); err != nil {
		return err
	}
	data, err := cloud.Create(ctx, openstack.NewVolume{Name: "lab-data", GiB: 1})
	if err != nil {
		return err
	}
	_, err = cloud.Snap(ctx, data.ID, "lab-snapshot")
	return err
}
