package vault

import (
	"context"
	"io/fs"
	"path"

	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// Checkpoint brings what stands at some finished paths into the vault for good, with a manifest beside it, while the
// session goes on. It is proven as Seal proves, and belongs to no point: should the session never be sealed, it is an orphan
// that later sessions can build on.
func (s *Session) Checkpoint(ctx context.Context, manifest any, paths ...string) error {
	ctx = context.WithValue(ctx, recorderKey{}, s.rec) // what is begun here is the session's as well
	if err := s.checkpoint(ctx, manifest, paths); err != nil {
		return problem.Wrap(s.v.failure(err), "make a checkpoint of", s.source+" of run "+s.point)
	}
	return nil
}

func (s *Session) checkpoint(ctx context.Context, manifest any, paths []string) error {
	names, err := s.finished(paths)
	if err != nil {
		return err
	}
	said, err := writeJSON(ctx, s.w, manifest)
	if err != nil {
		return s.fail(err)
	}
	if err := names.place(manifestName, &node{adopted: said}); err != nil {
		return err
	}
	root, _, err := s.bring(ctx, names)
	if err != nil {
		return err
	}
	_, err = s.save(ctx, root, map[string]string{tagPoint: s.point, tagCheckpoint: s.source})
	return err
}

// finished returns the names of some paths alone.
func (s *Session) finished(paths []string) (*node, error) {
	names := newDir(stream.Meta{Mode: 0o700, ModTime: s.began})
	for _, p := range paths {
		if _, err := s.Finish(p); err != nil {
			return nil, err
		}
		if err := s.share(names, path.Clean(p)); err != nil {
			return nil, &fs.PathError{Op: "keep", Path: p, Err: err}
		}
	}
	return names, nil
}

// share gives names what the session has at a full path.
func (s *Session) share(names *node, full string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(full)
	if err != nil {
		return err
	}
	return names.place(full, n)
}
