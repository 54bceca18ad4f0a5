package mariadb

import (
	"context"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream"
)

// imagePrefix begins the names of components that are images.
const imagePrefix = "image/"

// ImageFile is the file of an image's tree: what the engine's load command reads.
const ImageFile = "image.tar"

// Image is what a server's container runs from.
type Image struct {
	ID   string // the engine's identity: sha256 of the image's configuration, in hex
	Name string // the name that the container was made with
}

// Component names the component that holds the image.
func (i Image) Component() string { return imagePrefix + i.ID[:min(12, len(i.ID))] }

// Image asks the engine what the container of its server runs from.
func (e *Engine) Image(ctx context.Context) (Image, error) {
	out, err := host.Output(ctx, e.Host, host.Cmd{Args: []string{
		e.Command, "container", "inspect", "--format", "{{.Image}} {{.Config.Image}}", e.Container,
	}})
	if err != nil {
		return Image{}, fmt.Errorf("inspect container %s on %s: %w", e.Container, e.Host, err)
	}
	id, name, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) != 64 {
		return Image{}, fmt.Errorf("inspect container %s on %s: %q is no image id", e.Container, e.Host, id)
	}
	return Image{ID: id, Name: name}, nil
}

// reference is how the engine is asked for the image: by its name, so that it keeps it, if that still means this image.
func (e *Engine) reference(ctx context.Context, i Image) string {
	out, err := host.Output(ctx, e.Host, host.Cmd{Args: []string{e.Command, "image", "inspect", "--format", "{{.Id}}", i.Name}})
	if err == nil && strings.TrimPrefix(strings.TrimSpace(string(out)), "sha256:") == i.ID {
		return i.Name
	}
	return i.ID
}

// planImages adds the image of every node that a physical copy is taken from, once per image.
func (s *Source) planImages(ctx context.Context, plan *source.Plan) {
	planned := map[string]bool{}
	for _, t := range plan.Tasks {
		_, n, err := s.locate(t)
		if err != nil || t.Kind != point.Physical || n.Engine == nil {
			continue
		}
		image, err := n.Engine.Image(ctx)
		if err != nil {
			plan.Notes = append(plan.Notes, "the server's image is not saved: "+err.Error())
			continue
		}
		if name := image.Component(); !planned[name] {
			planned[name] = true
			plan.Tasks = append(plan.Tasks, s.imageTask(ctx, t, image))
		}
	}
}

// imageTask saves the image from the node of the physical task t, unless an earlier point holds it.
func (s *Source) imageTask(ctx context.Context, t source.Task, image Image) source.Task {
	task := source.Task{
		Source: SourceName, Name: image.Component(), Kind: point.Files, Mode: point.Full, Host: t.Host,
		Reason: "a physical copy is prepared by the version that made it", Path: SourceName + "/" + image.Component(),
		Args: map[string]string{argShard: t.Args[argShard], argNode: t.Args[argNode], argImage: image.ID},
	}
	if parent := s.opt.Held(ctx, task.Name); parent != "" {
		task.Mode, task.Parent, task.Reason = point.Unchanged, parent, "point "+parent+" holds this image already"
	}
	return task
}

// captureImage streams the engine's save of an image into the sink and proves every layer by its digest.
func (s *Source) captureImage(ctx context.Context, n Node, t source.Task, sink source.Sink) (source.Outcome, error) {
	image, err := n.Engine.Image(ctx)
	if err == nil && image.ID != t.Args[argImage] {
		err = problem.New(problem.Failed, "plan the backup again", "the container runs from another image by now")
	}
	if err != nil {
		return source.Outcome{}, err
	}
	var a archive
	cmd := host.Cmd{Args: []string{n.Engine.Command, "save", n.Engine.reference(ctx, image)}, Bulk: true}
	err = host.Stream(ctx, n.Engine.Host, cmd, func(r io.Reader) error {
		return store(sink, ImageFile, s.opt.Now, func(w io.Writer) (err error) {
			a, err = readArchive(io.TeeReader(r, w))
			return err
		})
	})
	if err == nil {
		err = a.prove(image.ID)
	}
	if err != nil {
		return source.Outcome{}, problem.Wrap(err, "save image "+image.Name, "from "+n.Engine.Host.String())
	}
	return source.Outcome{
		State:    point.Good,
		Identity: map[string]any{"image_id": image.ID, "image": image.Name, "engine": n.Engine.Command},
		Proof:    map[string]any{"exit": 0, "layers": a.layers, "layers_verified": a.verified, "bytes": a.size},
	}, nil // without a moment: an image never changes
}

// store writes one file of a component.
func store(sink source.Sink, name string, now clock, fill func(io.Writer) error) error {
	f, err := sink.Tree.Create(name, stream.Meta{Mode: 0o600, ModTime: now()}, stream.Plain)
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	if err := fill(counting{f, sink.Read}); err != nil {
		f.Abort()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// counting tells how much was written.
type counting struct {
	io.Writer
	told func(int64)
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.told(int64(n))
	return n, err
}
