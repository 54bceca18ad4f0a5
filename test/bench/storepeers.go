package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// storePeer is another tool with a repository in a directory, as peersOf has it, and one in the gateway.
type storePeer struct {
	imagePeer
	dir   string // scratch
	begin string // makes the second repository
	copy  string // brings to it what it lacks
	bar   float64
	what  string
}

// storePeers are the tools that copy from one repository of theirs into another.
func (b *bench) storePeers(dir string) ([]storePeer, error) {
	endpoint, err := url.Parse(b.lab.Ceph.Endpoint)
	if err != nil {
		return nil, err
	}
	var peers []storePeer
	for _, p := range b.peersOf(dir) {
		switch p.name {
		case "restic":
			to := "export RESTIC_PASSWORD=peer RESTIC_FROM_PASSWORD=peer; restic -q -r s3:" + endpoint.String() + "/" + storeBucket + "/restic "
			peers = append(peers, storePeer{
				imagePeer: p, what: "restic copy", bar: 2,
				begin: to + "init --from-repo " + dir + "/restic --copy-chunker-params", copy: to + "copy --from-repo " + dir + "/restic",
			})
		case "kopia":
			to := "export KOPIA_PASSWORD=peer KOPIA_CHECK_FOR_UPDATES=false; " + b.dir + "/kopia --config-file=" + dir + "/kopia-s3.config --log-dir=" + dir + "/kopia-log "
			peers = append(peers, storePeer{
				imagePeer: p, what: "kopia snapshot migrate", bar: 5,
				begin: to + "repository create s3 --disable-tls --cache-directory=" + dir + "/kopia-s3-cache --endpoint=" + endpoint.Host +
					" --bucket=" + storeBucket + " --prefix=kopia/; " + to + "policy set --global --compression=zstd-fastest",
				copy: to + "snapshot migrate --no-progress --all --source-config=" + dir + "/kopia.config",
			})
		}
	}
	return peers, nil
}

// keysForPeers puts the gateway's keys where the peers look for them, and nowhere near an argument.
func (b *bench) keysForPeers() (string, error) {
	keys, err := os.ReadFile(filepath.Join(b.lab.Options.Dir, "secrets/s3"))
	if err != nil {
		return "", err
	}
	access, secret, _ := strings.Cut(strings.TrimSpace(string(keys)), "\n")
	name := filepath.Join(b.dir, "peer.keys")
	return name, os.WriteFile(name, []byte("unset AWS_CA_BUNDLE; export AWS_ACCESS_KEY_ID="+access+" AWS_SECRET_ACCESS_KEY="+secret+"\n"), 0o600)
}

// storeIncrement compares the replication after 1 % changed with the copies of that change by other tools.
func storeIncrement(b *bench) error {
	v, err := b.stored("carried")
	if err != nil {
		return err
	}
	defer b.drop("carried")
	defer v.remove()
	dir, remove := b.scratch("carriers")
	defer remove()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := b.buildKopia(); err != nil {
		return err
	}
	keys, err := b.keysForPeers()
	if err != nil {
		return err
	}
	peers, err := b.storePeers(dir)
	if err != nil {
		return err
	}
	if err := v.tiered("carried", ""); err != nil {
		return err
	}
	if _, _, err := v.replicate(); err != nil {
		return err
	}
	for _, p := range peers {
		if _, err := b.sh(". %s; (%s; %s export --no-progress volumes/carried - | (%s); %s; %s) >/dev/null", keys, p.start, b.rbdCommand(), p.keep, p.begin, p.copy); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return v.carry("carried", keys, peers)
}

// carry changes the image and copies the change with each tool, in turns.
func (v *vault) carry(image, keys string, peers []storePeer) error {
	b := v.b
	took := map[string]comparison{}
	for n := range min(b.pairs, 3) {
		if err := b.rewrite(image, 5, object, 200+uint64(n)); err != nil {
			return err
		}
		if _, _, err := v.capture(image); err != nil {
			return err
		}
		for _, p := range peers {
			if _, err := b.sh("%s export --no-progress volumes/%s - | (%s >/dev/null)", b.rbdCommand(), image, p.keep); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		if err := b.settle(); err != nil {
			return err
		}
		_, ours, err := v.replicate()
		if err != nil {
			return err
		}
		for _, p := range peers {
			if err := b.settle(); err != nil {
				return err
			}
			theirs, err := b.sh(". %s; (%s) >/dev/null", keys, p.copy)
			if err != nil {
				return fmt.Errorf("%s: %w", p.what, err)
			}
			b.say("   %s: ours %.2f, peer %.2f", p.what, ours, theirs)
			took[p.name] = append(took[p.name], pair{ours, theirs})
		}
	}
	for _, p := range peers {
		c := took[p.name]
		faster := 1 / c.ratio()
		b.add(figure{
			What: "replication after 1 % changed, against " + p.what, Bar: fmt.Sprintf("≥ %.0f × faster", p.bar),
			Measured: fmt.Sprintf("%.1f × faster", faster), Verdict: verdict(faster >= p.bar), Detail: c.seconds(p.what),
		})
	}
	return nil
}
