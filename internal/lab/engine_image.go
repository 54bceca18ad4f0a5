package lab

import (
	"archive/tar"
	"context"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// imageName is the name of the image; nothing is ever pulled.
const imageName = "localhost/openstack.kolla/mariadb-server:2025.1-debian-bookworm"

// kollaMySQL is the user and group id of mysql in Kolla's images.
const kollaMySQL = 42434

//go:embed files/kolla_start
var kollaStart string

// imagePackages are what the image is put together from: the machine's own installed files, with the libraries that
// their programs need.
var imagePackages = []string{
	"mariadb-server", "mariadb-server-core", "mariadb-client", "mariadb-client-core", "mariadb-backup", "mariadb-common",
	"galera-4", "rsync", "socat", "iproute2", "procps", "hostname", "bash", "dash", "coreutils", "util-linux", "tar", "gzip",
	"sed", "grep", "findutils", "mawk", "debianutils", "base-files", "libc-bin",
}

// imageLeavesOut are prefixes of paths that a database server does well without.
var imageLeavesOut = []string{
	"/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/share/lintian", "/usr/share/bug",
	"/usr/share/bash-completion", "/usr/share/mysql/mysql-test", "/usr/lib/systemd", "/etc/systemd", "/etc/init.d", "/var",
	"/etc/apparmor.d", "/etc/cron", "/etc/mysql", "/etc/rsyslog", "/etc/logcheck", "/usr/share/apport", "/run", "/tmp",
	"/usr/bin/aria_", "/usr/bin/myisam", "/usr/bin/mariadb-slap", "/usr/bin/mysqlslap", "/usr/lib/udev", "/boot", "/home", "/media",
}

// importImage streams the image into a host's engine.
func (l *Lab) importImage(ctx context.Context, host string) error {
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(writeImage(ctx, w)) }()
	cmd, err := l.engineCommand(ctx, host, "import", "--change", "ENV KOLLA_BASE_DISTRO=debian KOLLA_SERVICE_NAME=mariadb LANG=C.UTF-8",
		"--change", "USER mysql", "--change", `CMD ["kolla_start"]`, "-", imageName)
	if err != nil {
		return err
	}
	cmd.Stdin = r
	_, err = output(cmd)
	return err
}

// writeImage writes the image's root file system as a tar archive.
func writeImage(ctx context.Context, w io.Writer) error {
	paths, err := imagePaths(ctx)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	own, err := writeSkeleton(t)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	for _, path := range paths {
		if own[path] {
			continue
		}
		if err := addToTar(t, path); err != nil {
			return fmt.Errorf("write image: %w", err)
		}
	}
	return t.Close()
}

// imagePaths lists what goes into the image from this machine, parents first.
func imagePaths(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "dpkg-query", append([]string{"--listfiles"}, imagePackages...)...)
	list, err := output(cmd)
	if err != nil {
		return nil, fmt.Errorf("list files of packages: %w", err)
	}
	set := map[string]bool{}
	var programs []string
	for path := range strings.Lines(list) {
		path = merged(strings.TrimSpace(path))
		info, err := os.Lstat(path)
		if err != nil || leftOut(path) {
			continue
		}
		addWithParents(set, path)
		if info.Mode().IsRegular() && (info.Mode()&0o111 != 0 || strings.HasSuffix(path, ".so")) {
			programs = append(programs, path)
		}
	}
	libraries, err := librariesOf(programs)
	if err != nil {
		return nil, err
	}
	for _, path := range libraries {
		addWithParents(set, path)
	}
	paths := make([]string, 0, len(set))
	for path := range set {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths, nil
}

// merged names a file by where it lies on a machine whose /bin, /sbin and /lib are links into /usr.
func merged(path string) string {
	for _, dir := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
		if strings.HasPrefix(path, dir) {
			return "/usr" + path
		}
	}
	return path
}

func leftOut(path string) bool {
	if path == "/." || slices.Contains([]string{"/bin", "/sbin", "/lib", "/lib64"}, path) {
		return true
	}
	if strings.HasSuffix(path, "/errmsg.sys") && !strings.Contains(path, "/english/") {
		return true
	}
	return slices.ContainsFunc(imageLeavesOut, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

func addWithParents(set map[string]bool, path string) {
	for ; path != "/" && !set[path]; path = filepath.Dir(path) {
		set[path] = true
	}
}

// librariesOf returns the libraries that programs name as needed, and those that these need, each with what its name
// links to, and the dynamic linker.
func librariesOf(programs []string) ([]string, error) {
	var found []string
	seen := map[string]bool{}
	for todo := programs; len(todo) > 0; todo = todo[1:] {
		needed, err := neededBy(todo[0])
		if err != nil {
			return nil, fmt.Errorf("list libraries of %s: %w", todo[0], err)
		}
		for _, name := range needed {
			if seen[name] {
				continue
			}
			seen[name] = true
			path, target, err := findLibrary(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a plugin whose library is only recommended: it does not work on this machine either
			}
			if err != nil {
				return nil, fmt.Errorf("find library %s of %s: %w", name, todo[0], err)
			}
			found = append(found, path, target)
			todo = append(todo, target)
		}
	}
	return found, nil
}

// neededBy lists the libraries and the linker that an ELF file names; any other file needs none.
func neededBy(path string) ([]string, error) {
	f, err := elf.Open(path)
	var other *elf.FormatError
	if errors.As(err, &other) || errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if linker := f.Section(".interp"); err == nil && linker != nil {
		var name []byte
		name, err = linker.Data()
		needed = append(needed, strings.TrimRight(string(name), "\x00"))
	}
	return needed, err
}

// findLibrary looks a library up where Debian keeps libraries; a full path is taken as it is.
func findLibrary(name string) (path, target string, err error) {
	places := []string{merged(name)}
	if !filepath.IsAbs(name) {
		if places, err = filepath.Glob("/usr/lib/*-linux-gnu*/" + name); err != nil || len(places) == 0 {
			return "", "", fmt.Errorf("%w in /usr/lib (%v)", fs.ErrNotExist, err)
		}
	}
	target, err = filepath.EvalSymlinks(places[0])
	return places[0], target, err
}

// addToTar adds one path as it is on this machine, by name alone.
func addToTar(t *tar.Writer, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = strings.TrimPrefix(path, "/"), 0, 0, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := t.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return errors.Join(err, f.Close())
}

// The image's accounts have Kolla's ids.
const (
	imagePasswd = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" +
		"mysql:x:42434:42434::/var/lib/mysql:/usr/sbin/nologin\n"
	imageGroup    = "root:x:0:\nkolla:x:42400:mysql\nmysql:x:42434:\nnogroup:x:65534:\n"
	imageNSSwitch = "passwd: files\ngroup: files\nhosts: files\n"
)

// skeleton is what the image has of its own, parents first.
var skeleton = slices.Concat(
	directories(0, 0o755, "usr", "usr/bin", "usr/local", "usr/local/bin", "etc", "var", "var/lib", "var/log", "var/log/kolla",
		"var/lib/kolla", "var/lib/kolla/config_files", "proc", "sys", "dev", "run", "root"),
	directories(kollaMySQL, 0o755, "etc/mysql", "run/mysqld", "run/mysqld/tmp", "var/lib/mysql", "var/lib/kolla/lab",
		"var/log/kolla/mariadb", "backup"),
	directories(0, 0o1777, "tmp", "var/tmp"),
	[]entry{
		{name: "bin", link: "usr/bin"}, {name: "sbin", link: "usr/sbin"}, {name: "lib", link: "usr/lib"},
		{name: "lib64", link: "usr/lib64"}, {name: "var/run", link: "/run"}, {name: "usr/bin/awk", link: "mawk"},
		{name: "etc/passwd", mode: 0o644, text: imagePasswd}, {name: "etc/group", mode: 0o644, text: imageGroup},
		{name: "etc/nsswitch.conf", mode: 0o644, text: imageNSSwitch},
		{name: "usr/local/bin/kolla_start", mode: 0o755, text: kollaStart},
	},
)

// entry is a file, a link if link is set, or a directory if the name ends in a slash.
type entry struct {
	name, link, text string
	mode             int64
	owner            int
}

func directories(owner int, mode int64, names ...string) []entry {
	var all []entry
	for _, name := range names {
		all = append(all, entry{name: name + "/", mode: mode, owner: owner})
	}
	return all
}

// writeSkeleton writes the skeleton and returns its paths.
func writeSkeleton(t *tar.Writer) (map[string]bool, error) {
	own := map[string]bool{}
	for _, e := range skeleton {
		h := tar.Header{Name: e.name, Linkname: e.link, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.text)), ModTime: time.Unix(1709281800, 0)}
		switch {
		case e.link != "":
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(t, e.text); err != nil {
			return nil, err
		}
		own["/"+strings.TrimSuffix(e.name, "/")] = true
	}
	return own, nil
}
