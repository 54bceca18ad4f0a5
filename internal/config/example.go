package config

import (
	"path/filepath"
	"time"

	"holdfast/internal/secret"
)

// Example returns a whole holdfast.yml to start from by hand: valid, with a comment for every part and every key there
// is, those that hold their default as comments.
func Example() []byte {
	return Render(Config{
		Cloud: "mycloud", State: DefaultState, Kit: filepath.Join(DefaultState, "kit"),
		Tiers: exampleTiers(),
		Kolla: Kolla{Inventory: []string{"/etc/kolla/multinode"}, Config: DefaultKolla, Tolerate: DefaultTolerate},
		MariaDB: &MariaDB{
			User: "backup", Password: secret.Ref{KollaKey: "mariadb_backup_database_password"},
			Run: "container", Container: DefaultContainer, Enter: "auto",
			Shards: []Shard{{ID: 0, Nodes: []string{"ctl2", "ctl3"}, User: "backup_shard_0", Password: secret.Ref{File: "shard0"}}},
			Control: Control{
				Kind: "command", KollaAnsible: "/opt/venv/bin/kolla-ansible",
				Stop: "systemctl stop mariadb", Start: "systemctl start mariadb", Bootstrap: "galera_new_cluster",
			},
		},
		Ceph:     []Ceph{{Name: DefaultCeph, Conf: DefaultCephConf, ID: DefaultCephID, RunOn: "ctl1", Container: "ceph_mon"}},
		RBD:      exampleImages(),
		Promises: Promises{RPO: DefaultRPO, Read: DefaultRead, Tiers: map[string]time.Duration{"offsite": 8 * Day}, Copies: 3, Offsite: []string{"offsite"}},
		Notify:   exampleNotify(),
		Metrics:  Metrics{Listen: DefaultListen, Textfile: "/var/lib/prometheus/node-exporter/holdfast.prom"},
		Schedule: Schedule{Zone: "Europe/Paris", Jitter: 10 * time.Minute, Jobs: []Job{
			{Name: "images", When: "weekly saturday 22:00", Do: []string{"rbd"}, Then: true, Window: "22:00-06:00", CatchUp: true, Retry: Retry{30 * time.Minute, 4 * time.Hour}},
			{Name: "reading", When: "monthly 15 05:00", Do: []string{"verify --all --full --tier offsite"}},
		}},
		Serve: Serve{Socket: "/run/holdfast/serve.sock", Status: time.Hour},
	})
}

func exampleNotify() Notify {
	return Notify{
		Mail: &Mail{
			Server: "mail.example.org", Port: 587, TLS: "starttls", CA: "/etc/ssl/mail-ca.pem", User: "holdfast", Password: secret.Ref{File: "mail-password"},
			From: "holdfast@example.org", To: []string{"ops@example.org"},
		},
		Webhook: &Webhook{URL: Address{Plain: "https://hooks.example.org/holdfast"}, Secret: secret.Ref{File: "hook-secret"}, CA: "/etc/ssl/hook-ca.pem"},
		Ping:    &Ping{URL: Address{Ref: secret.Ref{File: "ping-url"}}, Jobs: map[string]Address{"images": {Ref: secret.Ref{File: "ping-images"}}}},
		Digest:  Digest{Every: "weekly", Day: time.Monday, At: 7*time.Hour + 30*time.Minute}, On: []string{"failure", "promise", "recovery", "digest"},
	}
}

func exampleTiers() []Tier {
	usual := Retry{DefaultRetryAfter, DefaultRetryMost}
	return []Tier{
		{
			Name: "local", URL: "file:///var/backups/holdfast", Passphrase: secret.Ref{File: "passphrase"},
			Keep: Keep{Rules: Rules{Age: DefaultKeep}}, Reserve: DefaultReserve, Retry: usual,
		},
		{
			Name: "s3", URL: "s3://holdfast/mycloud", Passphrase: secret.Ref{File: "s3.passphrase"},
			Keep: Keep{Rules: Rules{Age: 30 * Day, Daily: 30, Weekly: 13}}, Reserve: DefaultReserve,
			S3: &S3{
				Endpoint: "https://s3.example.com", Region: "eu-west-3", PathStyle: true, CA: "/etc/holdfast/s3-ca.pem",
				AccessKey: secret.Ref{File: "s3.access"}, SecretKey: secret.Ref{File: "s3.secret"}, Token: secret.Ref{Command: "/usr/local/bin/s3-token"},
				Classes: Classes{Packs: "STANDARD_IA", Directories: "STANDARD", Indexes: "STANDARD"},
			},
			Lock:   Lock{Mode: "governance", Days: 30},
			Limits: []Limit{{From: 8 * time.Hour, To: 18 * time.Hour, Rate: 10 << 20}},
			Retry:  Retry{After: 15 * time.Minute, Most: 4 * time.Hour},
		},
		{
			Name: "offsite", URL: "sftp://backup@offsite.example.com/srv/holdfast", Passphrase: secret.Ref{File: "offsite.passphrase"},
			Keep: Keep{
				Rules: Rules{Within: 30 * Day, Last: 3, Weekly: 5, Monthly: 12, Yearly: 3}, Zone: "Europe/Paris",
				Sources: map[string]Rules{"rbd": {Age: 60 * Day, Monthly: 6}},
			},
			Reserve: DefaultReserve, SSHConfig: "/etc/holdfast/ssh_config", Retry: usual,
		},
	}
}

func exampleImages() *RBD {
	return &RBD{
		Pools:   []Pool{{Name: "volumes"}, {Name: "images"}},
		Include: []Selector{{Pool: "volumes", VolumeType: "gold", Larger: 1 << 30}, {Pool: "images", Usage: Used}},
		Exclude: []Selector{
			{Project: "scratch", Name: "volume-*", Smaller: 10 << 30}, {Metadata: map[string]string{"backup": "none"}},
		},
		Distrust: DefaultDistrust, Checkpoint: DefaultCheckpoint, Sample: DefaultSample,
		Freeze: &Freeze{Timeout: DefaultFreezeTimeout, Include: []Selector{{Project: "shop"}}},
	}
}
