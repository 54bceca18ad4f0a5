package notify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/coverage"
)

// TestPromisesAreExplained: of every kind of promise that anything says is broken, news tell what is at risk and what mends it.
func TestPromisesAreExplained(t *testing.T) {
	kinds := brokenKinds(t)
	for _, kind := range kinds {
		b := coverage.Broken{Promise: kind, Tier: "s3", Source: "mariadb"}
		n := brokenItem(b, brokenKey(b), t0, false)
		lines := risk(n, nil)
		if len(lines) != 2 || lines[1] != unknown || !strings.Contains(n.Next, "holdfast ") || n.Next == "holdfast status" {
			t.Errorf("%s: at risk is %q, next %q", kind, lines, n.Next)
		}
	}
	if len(kinds) < 8 {
		t.Errorf("there are only the kinds %q", kinds)
	}
}

// brokenKinds are the kinds of promises that the program makes broken ones of.
func brokenKinds(t *testing.T) (kinds []string) {
	t.Helper()
	for _, dir := range []string{"../coverage", "../serve", "../cli", "."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if kind := brokenKind(t, n); kind != "" {
					kinds = append(kinds, kind)
				}
				return true
			})
		}
	}
	return kinds
}

// brokenKind is the kind of a broken promise that is written down there, "" when none is.
func brokenKind(t *testing.T, n ast.Node) string {
	t.Helper()
	c, ok := n.(*ast.CompositeLit)
	if !ok || len(c.Elts) == 0 {
		return ""
	}
	name, _ := c.Type.(*ast.Ident)
	if of, ok := c.Type.(*ast.SelectorExpr); ok {
		name = of.Sel
	}
	if name == nil || name.Name != "Broken" {
		return ""
	}
	first := c.Elts[0]
	if kv, ok := first.(*ast.KeyValueExpr); ok {
		first = kv.Value
	}
	text, ok := first.(*ast.BasicLit)
	if !ok {
		t.Fatalf("a broken promise does not begin with its kind: %v", first)
	}
	kind, err := strconv.Unquote(text.Value)
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

// TestDrillsAreExplained: a drill that is late and one that found something wrong ask for different things.
func TestDrillsAreExplained(t *testing.T) {
	for _, c := range []struct{ tier, title, next string }{
		{"", "broken promise: a proven restore of mariadb", "holdfast drill mariadb (--shard N)"},
		{"s3", "broken promise: a proven restore of mariadb from tier s3", "holdfast verify --heal --all --full --tier s3, then drill that shard again: holdfast drill mariadb --from s3 --shard N"},
	} {
		b := coverage.Broken{Promise: "drill", Tier: c.tier, Source: "mariadb"}
		if n := brokenItem(b, brokenKey(b), t0, true); n.Title != c.title || n.Next != c.next {
			t.Errorf("in tier %q: %q, next %q", c.tier, n.Title, n.Next)
		}
	}
}
