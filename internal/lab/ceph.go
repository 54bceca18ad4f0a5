package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/lab/schema"
)

//go:embed files/ceph.conf.tmpl
var cephConf string

//go:embed files/cephlab.py
var cephScript string

// Where Ceph's ports are in the lab's block: the monitor has the first two, the gateway the next, daemons the rest.
const (
	cephOffset   = 100
	cephDaemons  = 110
	osdCount     = 3
	osdBytes     = 16 << 30 // of a file with holes
	cephHost     = "sto1"
	cephPatience = 60 // seconds until the cluster is healthy
)

// Pools that Kolla's services use, and those of the gateway.
var (
	blockPools   = []string{"volumes", "images", "vms", "backups"}
	gatewayPools = []string{
		".rgw.root", "default.rgw.log", "default.rgw.control", "default.rgw.meta",
		"default.rgw.buckets.index", "default.rgw.buckets.data", "default.rgw.buckets.non-ec",
	}
)

// Ceph is the lab's Ceph cluster: a monitor, a manager, three OSDs and a gateway that speaks S3, on the storage host.
type Ceph struct {
	FSID     string
	Conf     string // ceph.conf, which also names the keyrings
	Endpoint string // of the gateway
	OSDs     []string
}

func (l *Lab) cephDir() string { return l.path("ceph") }

// cephSteps brings the cluster up and fills it with what the rows in the databases speak of.
func (l *Lab) cephSteps() []step {
	steps := []step{{"ceph: monitor, manager, 3 OSDs", l.startCeph}, {"ceph: gateway", l.startGateway}}
	if !l.Options.EmptyPools {
		steps = append(steps, step{"ceph: images, volumes, disks", l.fillCeph})
	}
	return steps
}

// planCeph names the cluster's parts; the identity of the cluster is the one in the databases.
func (l *Lab) planCeph() {
	l.Ceph = &Ceph{
		FSID: schema.Generate(l.rows(0)).FSID, Conf: filepath.Join(l.cephDir(), "ceph.conf"),
		Endpoint: fmt.Sprintf("http://127.0.0.1:%d", l.PortBase+cephOffset+2),
	}
	for range osdCount {
		l.Ceph.OSDs = append(l.Ceph.OSDs, memberID())
	}
}

func (l *Lab) startCeph(ctx context.Context) error {
	if err := l.writeCeph(); err != nil {
		return err
	}
	if err := l.makeStores(ctx); err != nil {
		return err
	}
	if err := l.daemon(ctx, "ceph-mon", "-i", "a"); err != nil {
		return err
	}
	var daemons errgroup.Group
	daemons.Go(func() error { return l.daemon(ctx, "ceph-mgr", "-i", "x") })
	if err := l.cephadm(ctx, l.poolSteps()...); err != nil {
		return err
	}
	for i := range osdCount {
		daemons.Go(func() error { return l.daemon(ctx, "ceph-osd", "-i", strconv.Itoa(i)) })
	}
	if err := daemons.Wait(); err != nil {
		return err
	}
	var steps []any
	for _, p := range blockPools {
		steps = append(steps, map[string]any{"pool": p})
	}
	return l.cephadm(ctx, append(steps, map[string]any{"health": cephPatience})...)
}

// writeCeph writes the configuration and a keyring for each who needs one.
func (l *Lab) writeCeph() error {
	dir := l.cephDir()
	for _, d := range []string{"run", "log", "mon", "mgr", "crash", "osd0", "osd1", "osd2"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return fmt.Errorf("create directory for ceph: %w", err)
		}
	}
	at := l.PortBase + cephOffset
	text, err := render(cephConf, map[string]any{
		"Dir": dir, "FSID": l.Ceph.FSID, "MonPort": at, "OldMonPort": at + 1, "S3Port": at + 2,
		"FirstPort": l.PortBase + cephDaemons, "LastPort": l.PortBase + blockSize - 1, "OSDBytes": osdBytes,
	})
	if err != nil {
		return err
	}
	admin := entity("client.admin", "mon", "allow *", "mgr", "allow *", "osd", "allow *", "mds", "allow *") +
		entity("mon.", "mon", "allow *") +
		entity("mgr.x", "mon", "allow profile mgr", "osd", "allow *", "mds", "allow *")
	for i := range osdCount {
		admin += entity(fmt.Sprintf("osd.%d", i), "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
	}
	holdfast := entity("client.holdfast", "mon", holdfastMonCaps, "mgr", "profile rbd, allow r", "osd", holdfastCaps())
	gateway := entity("client.rgw.lab", "mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw")
	for name, body := range map[string]string{
		"ceph.conf": text, "keyring": admin, "keyring.holdfast": holdfast, "keyring.rgw": gateway, "keyring.all": admin + holdfast + gateway,
	} {
		if err := l.put(filepath.Join("ceph", name), 0o600, body); err != nil {
			return err
		}
	}
	return nil
}

// holdfastMonCaps let a client see what the monitors know, each key and each config-key, and change none.
const holdfastMonCaps = `profile rbd, allow r, allow command "config-key ls", allow command "config-key get", allow command "auth export"`

// holdfastCaps let a client snapshot, read and restore the images of every pool, and look at the gateway.
func holdfastCaps() string {
	var caps []string
	for _, p := range blockPools {
		caps = append(caps, "profile rbd pool="+p)
	}
	return strings.Join(append(caps, "allow r pool=.rgw.root", "allow r pool=default.rgw.meta namespace=users.uid"), ", ")
}

// entity is a keyring's section: a new key and capabilities, in pairs of service and what is allowed. Keys are in Ceph's
// own form: type, seconds, nanoseconds and length before 16 random bytes.
func entity(name string, caps ...string) string {
	key := binary.LittleEndian.AppendUint16(nil, 1)
	key = binary.LittleEndian.AppendUint32(key, uint32(time.Now().Unix()))
	key = binary.LittleEndian.AppendUint32(key, 0)
	key = binary.LittleEndian.AppendUint16(key, 16)
	random := make([]byte, 16)
	rand.Read(random)
	text := fmt.Sprintf("[%s]\n\tkey = %s\n", name, base64.StdEncoding.EncodeToString(append(key, random...)))
	for i := 0; i < len(caps); i += 2 {
		text += fmt.Sprintf("\tcaps %s = %q\n", caps[i], caps[i+1])
	}
	return text
}

// makeStores formats the monitor's store, with all keys in it, and those of the OSDs.
func (l *Lab) makeStores(ctx context.Context) error {
	monmap := filepath.Join(l.cephDir(), "monmap")
	at := l.PortBase + cephOffset
	if _, err := l.Run(ctx, cephHost, "monmaptool", "--create", "--fsid", l.Ceph.FSID, "--addv", "a",
		fmt.Sprintf("[v2:127.0.0.1:%d,v1:127.0.0.1:%d]", at, at+1), monmap); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := l.Run(ctx, cephHost, "ceph-mon", "-c", l.Ceph.Conf, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", filepath.Join(l.cephDir(), "keyring.all"))
		return err
	})
	for i, id := range l.Ceph.OSDs {
		g.Go(func() error {
			_, err := l.Run(ctx, cephHost, "ceph-osd", "-c", l.Ceph.Conf, "-i", strconv.Itoa(i), "--mkfs", "--no-mon-config", "--monmap", monmap, "--osd-uuid", id)
			return err
		})
	}
	return g.Wait()
}

// daemon starts one of Ceph's daemons, which detaches itself once it works.
func (l *Lab) daemon(ctx context.Context, program string, args ...string) error {
	_, err := l.Run(ctx, cephHost, append([]string{program, "-c", l.Ceph.Conf}, args...)...)
	return err
}

// poolSteps make the OSDs known and create all pools.
func (l *Lab) poolSteps() []any {
	var steps []any
	add := func(args ...any) {
		c := map[string]any{}
		for i := 0; i < len(args); i += 2 {
			c[args[i].(string)] = args[i+1]
		}
		steps = append(steps, map[string]any{"command": c})
	}
	for i, id := range l.Ceph.OSDs {
		add("prefix", "osd new", "uuid", id, "id", i)
	}
	for app, pools := range map[string][]string{"rbd": blockPools, "rgw": gatewayPools} {
		for _, p := range pools {
			add("prefix", "osd pool create", "pool", p, "pg_num", 4, "pgp_num", 4)
			add("prefix", "osd pool application enable", "pool", p, "app", app)
		}
	}
	return steps
}

// cephadm carries out steps on the cluster as its administrator.
func (l *Lab) cephadm(ctx context.Context, steps ...any) error {
	text, err := json.Marshal(steps)
	if err != nil {
		return err
	}
	// Debian's bindings belong to Debian's interpreter.
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", cephScript, l.Ceph.Conf)
	cmd.Stdin = bytes.NewReader(text)
	_, err = output(cmd)
	return err
}

// startGateway makes a user of S3 and starts the gateway.
func (l *Lab) startGateway(ctx context.Context) error {
	out, err := l.Run(ctx, cephHost, "radosgw-admin", "-c", l.Ceph.Conf, "user", "create", "--uid="+s3User, "--display-name="+s3User)
	if err != nil {
		return err
	}
	var made struct {
		Keys []struct {
			Access string `json:"access_key"`
			Secret string `json:"secret_key"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Keys) != 1 {
		return fmt.Errorf("make user of S3: %q: %w", out, err)
	}
	for name, text := range map[string]string{
		"s3": made.Keys[0].Access + "\n" + made.Keys[0].Secret + "\n", "s3.access": made.Keys[0].Access + "\n", "s3.secret": made.Keys[0].Secret + "\n",
	} {
		if err := l.put("secrets/"+name, 0o600, text); err != nil {
			return err
		}
	}
	if err := l.addColdClass(ctx); err != nil {
		return err
	}
	if err := l.runGateway(ctx); err != nil || !l.Options.Tiers {
		return err
	}
	return l.MakeBucket(ctx, tierBucket, true)
}

// runGateway starts the gateway and waits until it answers.
func (l *Lab) runGateway(ctx context.Context) error {
	if err := l.daemon(ctx, "radosgw", "--name", "client.rgw.lab"); err != nil {
		return err
	}
	addr := strings.TrimPrefix(l.Ceph.Endpoint, "http://")
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// s3User owns the buckets of backups. Its access key and secret key are the lines of the file secrets/s3.
const s3User = "holdfast"
