// Package arch holds the rules of the source tree itself: which package may import which, and that each says what it is.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers lists the packages from the ground up. A package imports only from layers below its own, from its own subtree
// (a source imports the source interface), and from the ground. Several names on one line do not import each other.
var layers = [][]string{
	{"internal/problem", "internal/event", "internal/suggest", "internal/durable", "internal/schedule"},
	{"internal/secret"},
	{"internal/stream", "internal/host"},
	{"internal/point", "internal/config"},
	{"internal/inventory", "internal/control", "internal/cephcmd", "internal/rows", "internal/s3", "internal/sftp"},
	{"internal/source", "internal/vault"},
	{"internal/retention"},
	{"internal/backup", "internal/restore", "internal/verify", "internal/tier", "internal/kit", "internal/report"},
	{"internal/coverage", "internal/job", "internal/drill"},
	{"internal/notify"},
	{"internal/metrics"},
	{"internal/serve"},
	{"internal/cli"},
	{"cmd/holdfast"},
	{"internal/lab"},
	{"cmd/lab"},
}

func layerOf(pkg string) (int, string) {
	for i, names := range layers {
		for _, name := range names {
			if pkg == name || strings.HasPrefix(pkg, name+"/") {
				return i, name
			}
		}
	}
	return -1, ""
}

// productImports maps each package of the product to what it imports of the product, tests left out.
func productImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			pkg := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../")
			imports[pkg] = append(imports[pkg], own(f.Imports)...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return imports
}

func own(specs []*ast.ImportSpec) []string {
	var out []string
	for _, s := range specs {
		path, err := strconv.Unquote(s.Path.Value)
		if err == nil && strings.HasPrefix(path, "holdfast/") {
			out = append(out, strings.TrimPrefix(path, "holdfast/"))
		}
	}
	return out
}

func TestImportsFlowOneWay(t *testing.T) {
	imports := productImports(t)
	if len(imports) < 10 {
		t.Fatalf("only %d packages found: the walk looks in the wrong place", len(imports))
	}
	for pkg, list := range imports {
		from, name := layerOf(pkg)
		if from < 0 {
			t.Errorf("%s stands in no layer: add it to the list, where it belongs", pkg)
			continue
		}
		for _, imp := range list {
			to, toName := layerOf(imp)
			if toName != name && to >= from {
				t.Errorf("%s imports %s, which is not below it", pkg, imp)
			}
		}
	}
}

func TestProductDoesNotLinkTheLab(t *testing.T) {
	for pkg, list := range productImports(t) {
		if strings.HasPrefix(pkg, "internal/lab") || pkg == "cmd/lab" {
			continue
		}
		if i := slices.IndexFunc(list, func(s string) bool { return strings.HasPrefix(s, "internal/lab") }); i >= 0 {
			t.Errorf("%s imports %s", pkg, list[i])
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	comments := map[string]int{}
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			dir := filepath.ToSlash(filepath.Dir(path))
			comments[dir] += 0
			if f.Doc != nil {
				comments[dir]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want exactly one", dir, n)
		}
	}
}
