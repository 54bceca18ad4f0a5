package kolla

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/internal/host"
)

// surveyScript prints what exists of the globs in its arguments.
//
//go:embed survey.sh
var surveyScript string

// survey returns which paths of h match the globs, and what those among them that are links lead to; sorted.
func survey(ctx context.Context, h host.Host, globs []string) ([]string, error) {
	return listing(ctx, h, surveyScript, globs)
}

// linksScript prints where symbolic links below the paths in its arguments lead. Dangling links lead nowhere, and what
// cannot be read is told by tar, by name.
const linksScript = `[ $# -eq 0 ] || find "$@" -type l -exec readlink -z -e -- {} + 2>/dev/null || :`

// listing runs a script that prints NUL-terminated paths.
func listing(ctx context.Context, h host.Host, script string, args []string) ([]string, error) {
	out, err := host.Output(ctx, h, host.Cmd{Args: append([]string{"sh", "-c", script, "survey"}, args...)})
	if err != nil {
		return nil, fmt.Errorf("look for files: %w", err)
	}
	var paths []string
	for p := range strings.SplitSeq(string(out), "\x00") {
		if p != "" {
			paths = append(paths, path.Clean(p))
		}
	}
	return compact(paths), nil
}

// outermost drops paths that lie inside another one.
func outermost(paths []string) []string {
	var roots []string
	for _, p := range compact(slices.Clone(paths)) {
		if !slices.ContainsFunc(roots, func(root string) bool { return within(p, root) }) {
			roots = append(roots, p)
		}
	}
	return roots
}

func within(p, root string) bool {
	return p == root || strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/")
}

// system holds directories that no configuration link makes worth keeping.
var system = []string{"/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"}

// follow adds what links below the roots lead to outside of them: configuration often lies in a checkout elsewhere.
// It returns the new roots and the ones that came through links.
func follow(ctx context.Context, h host.Host, roots []string) (all, linked []string, err error) {
	const rounds = 4 // of links that lead to links
	all = outermost(roots)
	for range rounds {
		targets, err := listing(ctx, h, linksScript, all)
		if err != nil {
			return nil, nil, err
		}
		targets = slices.DeleteFunc(targets, func(t string) bool { return !worthFollowing(t, all) })
		if len(targets) == 0 {
			break
		}
		linked = append(linked, outermost(targets)...)
		all = outermost(append(all, targets...))
	}
	return all, linked, nil
}

func worthFollowing(target string, roots []string) bool {
	inside := func(root string) bool { return within(target, root) }
	return !slices.ContainsFunc(roots, inside) && !slices.ContainsFunc(system, inside) &&
		!slices.ContainsFunc(roots, func(root string) bool { return within(root, target) })
}
