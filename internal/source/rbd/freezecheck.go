package rbd

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/rows"
	"holdfast/internal/source"
)

// checkFreeze looks whether the servers that are to stand still can be told to. Without that they are captured all the same,
// so that nothing of it fails.
func (s *Source) checkFreeze(ctx context.Context) []source.Check {
	if s.Freeze == nil {
		return nil
	}
	return []source.Check{s.Freeze.tools(ctx), s.places(ctx)}
}

func warn(name, mend, format string, args ...any) source.Check {
	return source.Check{Name: name, Status: source.Warn, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// tools looks for what freezes on all computes.
func (f *Freeze) tools(ctx context.Context) source.Check {
	const name = "freeze"
	computes, err := f.Computes()
	if err != nil {
		return warn(name, problem.HintOf(err), "%v", err)
	}
	errs := make([]error, len(computes))
	each(len(computes), func(n int) {
		script := `for tool in setsid timeout; do command -v $tool >/dev/null || { echo "$tool: not found" >&2; exit 1; }; done; exec "$@" --version`
		errs[n] = host.Run(ctx, computes[n], host.Cmd{Args: append([]string{"sh", "-c", script, "sh"}, computes[n].Virsh...), Name: "virsh"})
	})
	var wrong []string
	for _, err := range errs {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return warn(name, "correct run, container and virsh of rbd.freeze; what cannot be frozen is captured as after a power cut", "%s", strings.Join(wrong, "; "))
	}
	return source.Check{Name: name, Status: source.OK, Detail: fmt.Sprintf("virsh is there on %d computes", len(computes))}
}

// places finds the computes that servers run on.
func (s *Source) places(ctx context.Context) source.Check {
	const name = "computes"
	facts, err := s.Choose.Rows(ctx, rows.Need{Servers: true})
	if err != nil {
		return warn(name, problem.HintOf(err), "where servers run is not known: %v", err)
	}
	seen := map[string]bool{}
	var wrong []string
	for _, v := range facts.Servers {
		if v.Deleted || v.Host == "" || seen[v.Host] {
			continue
		}
		seen[v.Host] = true
		if _, err := s.Freeze.Compute(v.Host); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return warn(name, "call them in the inventory as Nova does: openstack compute service list", "%s", strings.Join(wrong, "; "))
	}
	return source.Check{Name: name, Status: source.OK, Detail: fmt.Sprintf("servers run on %d hosts, all of which are in the inventory", len(seen))}
}
