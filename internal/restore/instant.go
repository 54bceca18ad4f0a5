package restore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/cephcmd"
	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/restore/serve"
	"holdfast/internal/secret"
	"holdfast/internal/source/rbd"
)

// Instant makes a block image usable at once: Holdfast serves its content, the cluster reads what it lacks from there, and
// copies all of it in the background.
type Instant struct {
	r      *Restorer
	plan   Plan
	copy   imageCopy
	on     cephcmd.Cluster
	target cephcmd.Spec
	what   served
	record Dependent
	fresh  bool // this process began it

	trouble trouble
}

// InstantOptions say where the image is to be and how it is served.
type InstantOptions struct {
	As     string // POOL/NAME; "" for a name that tells the point
	Listen string // HOST or HOST:PORT that the computes reach this host at; "" finds one
	State  string // Holdfast's state directory
}

// Instant plans the instant restore of an image as a new one.
func (r *Restorer) Instant(ctx context.Context, p point.Point, name string, on cephcmd.Cluster, o InstantOptions) (*Instant, error) {
	i := &Instant{r: r, on: on, record: newDependent(o.State, r.Now()), fresh: true, plan: Plan{Title: "restore image " + name, Point: p.ID}}
	component, err := goodOf(p, rbd.SourceName, name)
	if err != nil {
		return nil, err
	}
	identity, err := rbd.IdentityOf(component)
	if err != nil {
		return nil, err
	}
	if i.target, err = targetSpec(identity, p.ID, o.As); err != nil {
		return nil, err
	}
	i.record.Cluster, i.record.Target, i.record.Point, i.record.Component = on.Name, i.target.String(), p.ID, name
	var found findings
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return i.open(ctx, p, name) })
	g.Go(func() error { return found.look(gctx, on, i.target) })
	g.Go(func() (err error) { i.record.Address, err = i.address(gctx, o.Listen); return err })
	g.Go(func() (err error) { found.free, err = on.Free(gctx, i.target.Pool); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := checkAddress(i.record.Address); err != nil {
		return nil, err
	}
	i.describe(found)
	return i, i.besides(o.State)
}

// open opens the copy and lays out what is served of it.
func (i *Instant) open(ctx context.Context, p point.Point, name string) (err error) {
	if i.copy, err = i.r.imageCopy(ctx, p, name); err == nil {
		i.what, err = serveImage(i.copy)
	}
	return err
}

func (i *Instant) address(ctx context.Context, given string) (string, error) {
	if given != "" {
		return listenAddress(given), nil
	}
	return address(ctx, i.on)
}

// findings are what the cluster says before anything is done.
type findings struct {
	release int
	exists  bool
	free    int64
}

func (f *findings) look(ctx context.Context, on cephcmd.Cluster, target cephcmd.Spec) (err error) {
	if f.release, err = on.Release(ctx); err != nil {
		return err
	}
	_, err = on.Info(ctx, target)
	f.exists = err == nil
	if cephcmd.IsNotFound(err) {
		err = nil
	}
	return err
}

func (i *Instant) describe(found findings) {
	p := &i.plan
	if found.release < cephcmd.LeastMigrate {
		p.refuse("", "restore it without --instant", "rbd is of release %d of Ceph, and images can be used while they are restored from %d on",
			found.release, cephcmd.LeastMigrate)
	}
	if found.exists {
		p.refuse("", "give another name with --as", "%s exists", i.target)
	}
	p.needs("pool "+i.target.Pool, i.copy.data, found.free)
	host, _, _ := net.SplitHostPort(i.record.Address)
	p.Steps = []string{
		fmt.Sprintf("serve %s, %s with %s of data, to the cluster's clients at %s", i.record.Component, size(i.copy.file.Size()), size(i.copy.data), host),
		fmt.Sprintf("prepare %s, which can be used from then on", i.target),
		"copy its data into the cluster", "make it an image like any other, and end the serving",
	}
	if i.glance() {
		p.Steps = append(p.Steps, "make and protect its snapshot "+rbd.GlanceSnapshot+", as Glance has it")
	}
	p.Notes = append(p.Notes, "until the data is copied, the image depends on this command: when it ends early, reads of what was not copied fail, "+
		"and so does every rbd ls --long of its pool",
		"clients must use librbd, as qemu and Nova do; the kernel's rbd cannot open the image before it is copied",
		"what is served goes unencrypted over the network; its address holds a secret, which whoever may open the image can read")
	if i.copy.identity.Parent != nil {
		p.Notes = append(p.Notes, "it was a clone and comes back with all of its data")
	}
	p.Undo = []string{"rbd rm " + i.target.String()}
}

// besides looks at the other instant restores.
func (i *Instant) besides(state string) error {
	all, err := Dependents(state)
	for _, d := range all {
		if d.Cluster == i.record.Cluster && d.Target == i.record.Target {
			i.plan.refuse("", "finish it: "+d.ResumeCommand(), "an instant restore of %s is on its way", d.Target)
		}
	}
	return err
}

func (i *Instant) glance() bool { return restoresGlance(i.copy.identity, i.target) }

// restoresGlance reports whether an image comes back under the name that Glance knows it by.
func restoresGlance(id rbd.Identity, target cephcmd.Spec) bool {
	return id.Snapshot == rbd.GlanceSnapshot && target.Image == id.Image
}

// Resume plans to go on with an instant restore that was cut off, of a component of p.
func (r *Restorer) Resume(ctx context.Context, p point.Point, d Dependent, on cephcmd.Cluster) (*Instant, error) {
	i := &Instant{r: r, on: on, record: d, plan: Plan{Title: "restore image " + d.Component, Point: p.ID}}
	pool, image, _ := strings.Cut(d.Target, "/")
	i.target = cephcmd.Spec{Pool: pool, Image: image}
	if err := i.open(ctx, p, d.Component); err != nil {
		return nil, err
	}
	if i.what.layout != d.Layout {
		return nil, problem.New(problem.Damage, "nothing was changed; the clients of "+d.Target+" may have read the other one",
			"what point %s holds of %s is not what was served", p.ID, d.Component)
	}
	i.plan.Steps = []string{"serve " + d.Component + " at " + d.Address + " again", "bring " + d.Target + " to its end"}
	i.plan.Undo = []string{"rbd rm " + d.Target}
	return i, nil
}

// Aborting plans to give an instant restore up.
func (r *Restorer) Aborting(ctx context.Context, p point.Point, d Dependent, on cephcmd.Cluster) (*Instant, error) {
	i, err := r.Resume(ctx, p, d, on)
	if err != nil {
		return nil, err
	}
	i.plan.Title = "abort restore of image " + d.Component
	i.plan.Steps, i.plan.Undo = []string{"remove " + d.Target + " and all that was written to it"}, nil
	return i, nil
}

// Plan returns what would be done.
func (i *Instant) Plan() *Plan { return &i.plan }

// Execute serves the image until nothing depends on that any more.
func (i *Instant) Execute(ctx context.Context) error {
	err := i.serving(ctx, i.finish)
	if err != nil && i.record.Stage != Planned {
		hint := strings.TrimPrefix(problem.HintOf(err)+"; ", "; ") + "until it goes on, " + i.target.String() + " cannot be read: " + i.record.ResumeCommand()
		return &problem.Error{Kind: problem.KindOf(err), Op: "restore to", Target: i.target.String(), Cause: err, Hint: hint}
	}
	if err != nil {
		return problem.Wrap(err, "restore to", i.target.String())
	}
	i.plan.Outcome = append(i.plan.Outcome, i.target.String()+" holds what "+i.record.Component+" held, and what was written since")
	return nil
}

// serving does something while the image is served, and nobody else does.
func (i *Instant) serving(ctx context.Context, do func(context.Context) error) error {
	unlock, err := i.record.lock()
	if err != nil {
		return err
	}
	defer unlock()
	l, err := i.listen(ctx)
	if err != nil {
		return err
	}
	s := serve.Start(l, i.record.Token, i.what, i.unread)
	defer s.Close()
	if err := i.protect(ctx); err != nil { // no reason to let anybody wait for the image
		i.r.emit(event.Event{Kind: event.Note, Component: i.target.String(),
			Text: fmt.Sprintf("its point is not on hold, and a prune may remove it before all is copied: %v; holdfast points hold %s", err, i.record.Point)})
	}
	return i.because(do(ctx))
}

// listen takes the address, and completes a record that is new or reads again how far one has come.
func (i *Instant) listen(ctx context.Context) (net.Listener, error) {
	if !i.fresh {
		if err := i.record.reload(); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", i.record.Address)
	if err != nil {
		err = problem.New(problem.Failed, "free the address, or give another one with --listen to a new restore", "serve the image: %w", err)
		return nil, errors.Join(err, i.unbegun())
	}
	if !i.fresh {
		return l, nil
	}
	host, _, _ := net.SplitHostPort(i.record.Address)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	i.record.Address, i.record.Layout = net.JoinHostPort(host, port), i.what.layout
	if err := i.record.save(); err != nil {
		return nil, errors.Join(err, i.unbegun(), l.Close())
	}
	return l, nil
}

// needed is why the points of instant restores are on hold.
const needed = "an instant restore is on its way whose image can be read only as long as the point is there"

// protect keeps the point from being removed until nothing depends on it any more.
func (i *Instant) protect(ctx context.Context) error {
	holds, err := i.r.Vault.Holds(ctx)
	if _, held := holds[i.record.Point]; err != nil || held {
		return err
	}
	return i.r.Vault.Hold(ctx, i.record.Point, point.Hold{
		Reason: needed, By: "restore " + i.record.ID, At: i.r.Now().UTC(), Tier: i.r.Vault.Location().Tier,
	})
}

// forget ends the record, and the hold of the point unless somebody else wants it. That it could not be released costs only room.
func (i *Instant) forget(ctx context.Context) error {
	if err := i.record.forget(); err != nil {
		return err
	}
	if err := i.unprotect(ctx); err != nil {
		i.r.emit(event.Event{Kind: event.Note, Component: i.target.String(), Text: "release its point by hand: " + err.Error()})
	}
	return nil
}

func (i *Instant) unprotect(ctx context.Context) error {
	all, err := dependentsIn(i.record.dir)
	if err != nil || slices.ContainsFunc(all, func(d Dependent) bool { return d.Point == i.record.Point }) {
		return err
	}
	holds, err := i.r.Vault.Holds(ctx)
	if err != nil || holds[i.record.Point].Reason != needed {
		return err
	}
	return i.r.Vault.Release(ctx, i.record.Point)
}

// unbegun leaves nothing of a restore that could not begin.
func (i *Instant) unbegun() error {
	if !i.fresh {
		return nil
	}
	return os.Remove(i.record.path(".lock"))
}

// trouble is what keeps the image from being served.
type trouble struct {
	mu    sync.Mutex
	first error
	told  time.Time
}

// silence is how long no other trouble is told: where one piece cannot be read, the next often cannot either.
const silence = 10 * time.Second

// unread takes an error of the vault.
func (i *Instant) unread(err error) {
	i.trouble.mu.Lock()
	defer i.trouble.mu.Unlock()
	if i.trouble.first == nil {
		i.trouble.first = err
	}
	if now := i.r.Now(); now.Sub(i.trouble.told) >= silence {
		i.trouble.told = now
		i.r.emit(event.Event{Kind: event.Note, Component: i.target.String(), Text: "could not be served: " + err.Error()})
	}
}

// because adds to an error of the cluster what it comes from.
func (i *Instant) because(err error) error {
	i.trouble.mu.Lock()
	defer i.trouble.mu.Unlock()
	if err == nil || i.trouble.first == nil {
		return err
	}
	return fmt.Errorf("the image could not be served: %w; so %w", i.trouble.first, err)
}

// source is what the cluster is told to read, in rbd's words. The URL stands on a line of its own, so that it is hidden
// in what a command prints.
func (i *Instant) source() secret.Secret {
	return secret.New(fmt.Sprintf("{\"type\": \"qcow\", \"stream\": {\"type\": \"http\", \"url\":\n%q\n}}\n", i.url()))
}

func (i *Instant) url() string { return "http://" + i.record.Address + "/" + i.record.Token }

// reached records that a stage is reached.
func (i *Instant) reached(s Stage) error {
	i.record.Stage = s
	if s == Usable && i.record.Since == nil {
		now := i.r.Now().UTC()
		i.record.Since = &now
	}
	return i.record.save()
}

// poll is how often the cluster is asked how much it has copied.
const poll = 2 * time.Second
