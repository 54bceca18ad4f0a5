package kolla

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"holdfast/internal/inventory"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// requiredGroups are Kolla's groups whose hosts a point cannot do without.
var requiredGroups = []string{"deployment", "control", "network", "storage"}

// Plan implements source.Source. Hosts that do not answer are skipped with their reason; they spoil the point only if
// they are required or more than the tolerated share is missing.
func (s *Source) Plan(ctx context.Context) (source.Plan, error) {
	if len(s.o.Inventory.Hosts) == 0 {
		return source.Plan{}, problem.New(problem.Usage, "check kolla.inventory in holdfast.yml", "the inventory has no hosts")
	}
	p := source.Plan{Notes: slices.Clone(s.o.Inventory.Notes)}
	if names := s.undecided(); len(names) > 0 {
		p.Notes = append(p.Notes, "only Ansible can resolve "+strings.Join(names, ", ")+" in globals: their defaults are used")
	}
	p.Tasks = append(p.Tasks, task(DeployName, s.o.Deploy.String(), "the deploy host's configuration", true))
	hosts := s.hosts()
	answers := probeAll(ctx, hosts)
	if err := ctx.Err(); err != nil {
		return source.Plan{}, err
	}
	spare, missing := 0, 0
	for i, h := range hosts {
		if !h.In(requiredGroups...) {
			spare++
			if answers[i].err != nil {
				missing++
			}
		}
	}
	tolerated := missing <= tolerance(s.o.Tolerate, spare)
	for i, h := range hosts {
		s.place(&p, h, answers[i], tolerated)
	}
	if missing > 0 {
		p.Notes = append(p.Notes, toleranceNote(missing, spare, tolerance(s.o.Tolerate, spare)))
	}
	return p, nil
}

// hosts are the hosts with a component of their own. The deploy host needs none when it is nothing else.
func (s *Source) hosts() []*inventory.Host {
	var hosts []*inventory.Host
	for _, h := range s.o.Inventory.Hosts {
		c, err := h.Connection()
		alone := slices.Equal(h.Groups, []string{"deployment"}) || slices.Equal(h.Groups, []string{"ungrouped"})
		if err == nil && c.Local && alone {
			continue
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// place puts a host among the tasks or, if it does not answer, among what is skipped.
func (s *Source) place(p *source.Plan, h *inventory.Host, a answer, tolerated bool) {
	group := firstOf(h, requiredGroups)
	reason := "required: it is in group " + group
	if group == "" {
		reason = "one of the hosts of which a few may be missing"
	}
	t := task(componentName(h), h.Name, reason, group != "")
	if a.err == nil {
		p.Tasks = append(p.Tasks, t)
		return
	}
	t.Required = group != "" || !tolerated
	t.Reason = unreachable(a.err)
	p.Skipped = append(p.Skipped, t)
}

func firstOf(h *inventory.Host, groups []string) string {
	for _, g := range groups {
		if h.In(g) {
			return g
		}
	}
	return ""
}

// componentName is the host's name, unless that means the deploy host's configuration.
func componentName(h *inventory.Host) string {
	if h.Name == DeployName {
		return DeployName + "-host"
	}
	return h.Name
}

// unreachable tells why in one line, with the mend.
func unreachable(err error) string {
	text := "not reachable: " + err.Error()
	if hint := problem.HintOf(err); hint != "" {
		text += "; " + hint
	}
	return text
}

// tolerance is how many of n hosts may be missing.
func tolerance(share float64, n int) int {
	if share <= 0 {
		return 0
	}
	return max(1, int(math.Floor(share*float64(n)+1e-9)))
}

func toleranceNote(missing, of, tolerated int) string {
	if missing <= tolerated {
		return fmt.Sprintf("%d of %d hosts that are not required are missing, %d may be", missing, of, tolerated)
	}
	return fmt.Sprintf("%d of %d hosts that are not required are missing and only %d may be: they count as required", missing, of, tolerated)
}
