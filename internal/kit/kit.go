// Package kit writes the recovery kit: what a human keeps outside the cloud to open the vaults when everything else is
// gone. It is a directory of small files that only their owner can read. Holdfast cannot know whether somebody took it
// away to a safe place, so it warns until an operator has confirmed just this kit.
package kit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/durable"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Kit is what the kit tells.
type Kit struct {
	Cloud    string    `json:"cloud"`
	Written  time.Time `json:"written"`
	Versions Versions  `json:"versions"`
	Tiers    []Tier    `json:"tiers"`
	// Credentials names, without their values, what else is needed to reach the vaults and to restore.
	Credentials []string `json:"credentials"`
}

// Versions are those of the programs that wrote the vaults.
type Versions struct {
	Holdfast string `json:"holdfast"`
	Kopia    string `json:"kopia"`
}

// Tier is one vault and what opens it.
type Tier struct {
	Name       string            `json:"name"`
	URL        string            `json:"url"`
	Passphrase secret.Secret     `json:"-"` // written to a file of its own
	Blobs      map[string][]byte `json:"-"` // the vault's format blobs by name, for a vault that lost them
}

const (
	kitFile     = "kit.json"
	readmeFile  = "README.txt"
	confirmFile = "kit.confirmed"
)

// Write puts the kit into dir, 0700 with files of 0600, replacing an earlier one file by file.
func Write(dir string, k Kit) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return problem.Wrap(err, "write recovery kit", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return problem.Wrap(err, "write recovery kit", dir)
	}
	files, err := k.files()
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := durable.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return problem.Wrap(err, "write recovery kit", filepath.Join(dir, name))
		}
	}
	return nil
}

func (k Kit) files() (map[string][]byte, error) {
	facts, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode recovery kit: %w", err)
	}
	files := map[string][]byte{kitFile: append(facts, '\n'), readmeFile: []byte(k.readme())}
	for _, t := range k.Tiers {
		files[t.Name+".passphrase"] = []byte(t.Passphrase.Reveal() + "\n")
		for name, data := range t.Blobs {
			files[t.Name+"."+name] = data
		}
	}
	return files, nil
}

func (k Kit) readme() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Recovery kit of the cloud %s, written %s by holdfast %s.\n\n", k.Cloud, k.Written.Format(time.RFC3339), k.Versions.Holdfast)
	b.WriteString("Keep a copy of this directory outside the cloud: on paper, in a safe, in another password store. Whoever holds it can\n" +
		"read every backup. Then run: holdfast kit confirm\n\nThe vaults:\n")
	for _, t := range k.Tiers {
		fmt.Fprintf(&b, "  %-10s %s\n%12s passphrase in %s.passphrase\n", t.Name, t.URL, "", t.Name)
	}
	if len(k.Credentials) > 0 {
		fmt.Fprintf(&b, "\nAlso needed, and not in this kit: %s\n", strings.Join(k.Credentials, ", "))
	}
	fmt.Fprintf(&b, "\nWithout Holdfast, the stock kopia command (version %s or later) opens a vault on a file system:\n", k.Versions.Kopia)
	b.WriteString("  kopia repository connect filesystem --path=VAULT   (it asks for the passphrase)\n" +
		"  kopia snapshot list --all\n  kopia snapshot restore SNAPSHOT DIRECTORY\n\n" +
		"If a vault lost its kopia.repository or kopia.blobcfg blob, copy TIER.kopia.repository and TIER.kopia.blobcfg back\n" +
		"into it under the names kopia.repository.f and kopia.blobcfg.f.\n")
	return b.String()
}

// Read returns the kit in dir, with what opens its vaults. One that is not there is fs.ErrNotExist.
func Read(dir string) (k Kit, err error) {
	data, err := os.ReadFile(filepath.Join(dir, kitFile))
	if err != nil {
		return k, fmt.Errorf("read recovery kit: %w", err)
	}
	if err := json.Unmarshal(data, &k); err != nil {
		return k, fmt.Errorf("read recovery kit %s: %w", dir, err)
	}
	for i := range k.Tiers {
		t := &k.Tiers[i]
		pass, err := os.ReadFile(filepath.Join(dir, t.Name+".passphrase"))
		if err != nil {
			return k, fmt.Errorf("read recovery kit: %w", err)
		}
		t.Passphrase, t.Blobs = secret.New(strings.TrimSuffix(string(pass), "\n")), map[string][]byte{}
		for _, name := range formatBlobs {
			switch data, err := os.ReadFile(filepath.Join(dir, t.Name+"."+name)); {
			case err == nil:
				t.Blobs[name] = data
			case !errors.Is(err, fs.ErrNotExist):
				return k, fmt.Errorf("read recovery kit: %w", err)
			}
		}
	}
	return k, nil
}

// formatBlobs are those without which no passphrase opens a vault.
var formatBlobs = []string{"kopia.repository", "kopia.blobcfg"}

// Confirm remembers in the state directory that the kit in dir, as it is now, is stored elsewhere.
func Confirm(dir, state string, now time.Time) error {
	sum, err := digest(dir)
	if err != nil {
		return problem.New(problem.Failed, "holdfast init writes one", "there is no recovery kit in %s: %w", dir, err)
	}
	line := sum + " " + now.UTC().Format(time.RFC3339) + "\n"
	if err := durable.WriteFile(filepath.Join(state, confirmFile), []byte(line), 0o600); err != nil {
		return problem.Wrap(err, "confirm recovery kit", state)
	}
	return nil
}

// Confirmed reports when the kit in dir was confirmed, or why it cannot count as confirmed. A kit that was taken away
// after its confirmation stays confirmed: it is where it belongs.
func Confirmed(dir, state string) (time.Time, error) {
	data, err := os.ReadFile(filepath.Join(state, confirmFile))
	if err != nil {
		return time.Time{}, errors.New("nobody has confirmed that the recovery kit is stored outside the cloud")
	}
	sum, at, ok := strings.Cut(strings.TrimSpace(string(data)), " ")
	when, perr := time.Parse(time.RFC3339, at)
	if !ok || perr != nil {
		return time.Time{}, fmt.Errorf("%s is not readable", confirmFile)
	}
	now, err := digest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return when, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if now != sum {
		return time.Time{}, errors.New("the recovery kit has changed since it was confirmed")
	}
	return when, nil
}

// digest sums up what matters in a kit: the tiers' facts and keys, not when it was written.
func digest(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, kitFile))
	if err != nil {
		return "", err
	}
	var k Kit
	if err := json.Unmarshal(data, &k); err != nil {
		return "", fmt.Errorf("read %s: %w", kitFile, err)
	}
	h := sha256.New()
	for _, t := range k.Tiers {
		pass, err := os.ReadFile(filepath.Join(dir, t.Name+".passphrase"))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %q %x\n", t.Name, t.URL, sha256.Sum256(pass))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
