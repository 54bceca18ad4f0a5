package restore

import (
	"context"
	"io"
	"path"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// ServerImage is the image that the server of a copy ran from, and the container engine of this machine that runs it.
type ServerImage struct {
	Engine   string
	ID       string
	Name     string // that the server knew it by
	Describe string // "the server's own image, ..."

	load func(ctx context.Context) error
}

// Load makes sure that the engine has the image.
func (i ServerImage) Load(ctx context.Context) error {
	if i.load == nil {
		return nil
	}
	return i.load(ctx)
}

// Args begin every command line of the engine that runs a program of the image, without a network.
func (i ServerImage) Args() []string {
	return append([]string{"run", "--network=none", "--entrypoint="}, ulimits(i.Engine)...)
}

// Env is what the engine's command finds its server by.
func (i ServerImage) Env() []string { return engineEnv() }

// ServerImage finds the image of a physical copy: in the engine here, else in the point. It reports false when there is none.
func (r *Restorer) ServerImage(ctx context.Context, p point.Point, c point.Component) (ServerImage, bool) {
	i := ServerImage{ID: text(c.Identity, "image_id"), Name: text(c.Identity, "image")}
	if i.ID == "" {
		return i, false
	}
	if i.Engine = r.engine(ctx); i.Engine == "" {
		return i, false
	}
	saved, ok := savedImage(p, i.ID)
	if ok {
		image := i
		i.load = func(ctx context.Context) error { return r.loadImage(ctx, p.ID, saved, image) }
	}
	if r.inspect(ctx, i) == nil {
		i.Describe = "the server's own image, which " + i.Engine + " has here"
		return i, true
	}
	i.Describe = "the server's own image, loaded from the point into " + i.Engine
	return i, ok
}

// inspect fails when the engine has not got the image, or does not answer.
func (r *Restorer) inspect(ctx context.Context, i ServerImage) error {
	return host.Run(ctx, r.Local, host.Cmd{Args: []string{i.Engine, "image", "inspect", i.ID}, Env: engineEnv()})
}

// lacks reports whether the engine answers and has not got the image.
func (r *Restorer) lacks(ctx context.Context, i ServerImage) (bool, error) {
	if r.inspect(ctx, i) == nil {
		return false, nil
	}
	out, err := host.Output(ctx, r.Local, host.Cmd{Args: []string{i.Engine, "images", "--all", "--quiet", "--no-trunc"}, Env: engineEnv()})
	return !strings.Contains(string(out), i.ID), err
}

// loadImage streams a saved image from the vault into the engine, unless that has it by now.
func (r *Restorer) loadImage(ctx context.Context, id string, c point.Component, i ServerImage) error {
	if lacks, err := r.lacks(ctx, i); err != nil || !lacks {
		return err
	}
	if r.Loads != nil {
		if err := r.Loads(ctx, i); err != nil {
			return err
		}
	}
	return r.step("load the image", func() error {
		fsys, err := r.Vault.FS(ctx, id, c.Source)
		if err != nil {
			return err
		}
		f, err := fsys.Open(path.Join(c.Path, "image.tar"))
		if err != nil {
			return problem.Wrap(err, "load image", c.Name)
		}
		defer f.Close()
		return host.Run(ctx, r.Local, host.Cmd{Args: []string{i.Engine, "load"}, Stdin: io.Reader(f), Env: engineEnv()})
	})
}
