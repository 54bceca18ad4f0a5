package acceptance

import (
	"strings"
	"sync"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// scene is a cluster of three nodes with a point of all of it, shared by the tests that leave its data as they found it.
type scene struct {
	lab   *lab.Lab
	site  journey.Site
	op    *journey.Operator
	point point.Point
	sums  map[string]string // of every table on ctl1 when the point was taken
}

var stage struct {
	sync.Mutex
	scene
}

// bigRows make a table whose dump takes several statements.
const bigRows = 60000

const furniture = `CREATE DATABASE scene;
USE scene;
CREATE TABLE scene.big (id INT PRIMARY KEY, v VARCHAR(100) NOT NULL);
INSERT INTO scene.big SELECT seq, REPEAT(MD5(seq), 3) FROM seq_1_to_60000;
CREATE TABLE scene.small (id INT PRIMARY KEY, v VARCHAR(100) NOT NULL);
INSERT INTO scene.small VALUES (1, 'one'), (2, 'two');
CREATE TABLE scene.lost (id INT PRIMARY KEY, v TEXT);
INSERT INTO scene.lost VALUES (1, 'will be dropped');
` + pulled

const pulled = `CREATE TABLE scene.pulled (id INT PRIMARY KEY);
CREATE TRIGGER scene.pull BEFORE INSERT ON scene.pulled FOR EACH ROW SET NEW.id = NEW.id + 0;`

// onStage returns the shared scene with an operator of t's own.
func onStage(t *testing.T) scene {
	t.Helper()
	stage.Lock()
	defer stage.Unlock()
	if stage.lab == nil {
		l := labtest.Shared(t)
		query(t, l, "ctl1", furniture)
		stage.site = journey.NewSite(t, l, nil)
		op := journey.At(t, stage.site)
		op.Init()
		stage.sums = journey.Sums(t, l, "ctl1")
		stage.point = op.Backup()
		stage.lab = l
	}
	s := stage.scene
	s.op = journey.At(t, s.site)
	return s
}

// elsewhere is the scene's operator with another configuration.
func (s scene) elsewhere(t *testing.T, edit func(config string) string) *journey.Operator {
	t.Helper()
	c := journey.NewSite(t, s.lab, edit)
	other := s.site
	other.Config = c.Config
	text := read(t, c.Config)
	for own, shared := range map[string]string{c.Vault: s.site.Vault, c.State: s.site.State, c.Passphrase: s.site.Passphrase} {
		text = strings.ReplaceAll(text, own, shared)
	}
	write(t, c.Config, text)
	return journey.At(t, other)
}

func query(t *testing.T, l *lab.Lab, node, sql string) string {
	t.Helper()
	out, err := l.SQL(t.Context(), node, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shell runs a command line on a host of the lab.
func shell(t *testing.T, l *lab.Lab, host, line string) string {
	t.Helper()
	out, err := l.Run(t.Context(), host, "sh", "-euc", line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
