package drill

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"

	"holdfast/internal/stream/sqldump"
)

// logical loads the dump into an empty server, and holds what that then holds against what was recorded.
func (p *part) logical() error {
	files, want, _, err := p.dump(p.ctx)
	if err != nil {
		return cannot(err, "copy", p.component.Name)
	}
	p.result.Bytes, p.result.Rows, p.result.Tables = want.Bytes, want.Rows, len(want.Tables)
	if err := p.step("start an empty server", p.empty); err != nil {
		return err
	}
	name := "load the dump"
	if err := p.step(name, func() error { return p.load(files, want, p.counter(name, want.Bytes)) }); err != nil {
		return err
	}
	name = "compare the loaded tables"
	if err := p.step(name, func() error { return p.compareLoaded(files, want, p.counter(name, want.Bytes)) }); err != nil {
		return err
	}
	return p.step("log in to what was loaded", func() error { return p.logIn(files) })
}

// empty makes a new datadir and starts a server on it.
func (p *part) empty() error {
	if err := p.owned("data"); err != nil {
		return err
	}
	home := p.programs.home(p.dir)
	out, err := p.program("install", "--no-defaults", "--datadir="+home+"/data", "--tmpdir="+home+"/tmp", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--loose-innodb-flush-method=nosync", "--loose-debug-no-sync", "--loose-innodb-use-native-aio=0", "--loose-innodb-log-file-size=64M",
		"--innodb-page-size="+p.pageSize())
	if err != nil {
		return fmt.Errorf("make an empty datadir: %w: %s", err, lastLine(out))
	}
	return p.serve("--no-defaults", "--innodb-page-size="+p.pageSize())
}

// pageSize is that of the server whose copy it is.
func (p *part) pageSize() string {
	if n, ok := number(p.component.Identity, "innodb_page_size"); ok && n > 0 {
		return fmt.Sprint(n)
	}
	return "16384"
}

// load feeds the whole dump to the client, in its order.
func (p *part) load(files fs.FS, want sqldump.Summary, count func(int64)) error {
	out, in := io.Pipe()
	go func() { in.CloseWithError(joined(in, files, want.Order, count)) }()
	err := p.connect(p.admin).Load(p.ctx, "", out)
	out.CloseWithError(errors.New("the client ended"))
	return cannot(err, "dump", p.component.Name)
}

// joined writes files one after the other.
func joined(w io.Writer, files fs.FS, order []string, count func(int64)) error {
	for _, name := range order {
		f, err := files.Open(path.Clean(name))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.MultiWriter(w, counting(count)), f)
		f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

type counting func(int64)

func (c counting) Write(b []byte) (int, error) {
	c(int64(len(b)))
	return len(b), nil
}

// compareLoaded demands every table of the dump, with all of its rows, and the same definitions.
func (p *part) compareLoaded(files fs.FS, want sqldump.Summary, count func(int64)) error {
	got, defined, err := p.look(count)
	if err != nil {
		return err
	}
	p.compareTables(want.Tables, got.Tables, always)
	return p.compareDefinitions(files, want, defined, nil)
}

// look dumps what the part's server holds.
func (p *part) look(count func(int64)) (sqldump.Summary, definitions, error) {
	defined := newDefinitions()
	got, err := p.connect(p.admin).DumpInto(p.ctx, defined, count)
	return got, defined.found(), cannot(err, "server", filepath.Base(p.component.Name))
}
