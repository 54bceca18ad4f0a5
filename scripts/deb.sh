#!/bin/bash
# Builds DIR/holdfast_VERSION_ARCH.deb for this machine's architecture, or $GOARCH's, and prints its path. The same source
# and version give the same bytes.
# usage: scripts/deb.sh VERSION DIR
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
out=$2
arch=$(go env GOARCH)
case $arch in 386) arch=i386 ;; arm) arch=armhf ;; ppc64le) arch=ppc64el ;; esac
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export GOFLAGS='-trimpath -buildvcs=false' CGO_ENABLED=0
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC DPKG_DEB_THREADS_MAX=1
maintainer=${DEB_MAINTAINER:-Holdfast maintainers <maintainers@holdfast.invalid>}

# A Debian version begins with a digit and has no revision here: v1.2.0-3-gabc is 1.2.0+3.gabc, abc is 0~DATE.abc.
version=${1#v}
case $version in [0-9]*[.]*) ;; *) version=0~$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$version ;; esac
version=$(sed -e 's/-/+/' -e 's/[^A-Za-z0-9.+~]/./g' <<<"$version")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage doc=$work/stage/usr/share/doc/holdfast
put() { install -D -m "$1" "$2" "$stage/$3"; } # MODE FILE PLACE
squeeze() { gzip -9n >"$1"; }                    # a file that stays the same
# text FILE: a file of packaging/deb with its placeholders filled in
text() {
  sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" -e "s|@SIZE@|${size:-}|" \
    -e "s|@UNITS@|${units[*]}|" -e "s|@SERVICES@|${services[*]}|" "packaging/deb/$1"
}

# The program, and what it says of itself.
go build -ldflags "-s -w -X holdfast/internal/cli.Version=$1" -o "$work/holdfast" ./cmd/holdfast
put 755 "$work/holdfast" usr/bin/holdfast
native=$work/holdfast
if [ "$(go env GOOS/GOARCH)" != "$(go env GOHOSTOS/GOHOSTARCH)" ]; then
  native=$work/native
  GOOS='' GOARCH='' go build -o "$native" ./cmd/holdfast
fi
"$native" man "$work/man"
mkdir -p "$stage/usr/share/man/man8"
for page in "$work"/man/*.8; do squeeze "$stage/usr/share/man/man8/${page##*/}.gz" <"$page"; done
for shell in bash zsh fish; do "$native" completion $shell >"$work/completion.$shell"; done
put 644 "$work/completion.bash" usr/share/bash-completion/completions/holdfast
put 644 "$work/completion.zsh" usr/share/zsh/vendor-completions/_holdfast
put 644 "$work/completion.fish" usr/share/fish/vendor_completions.d/holdfast.fish
"$native" config example >"$work/example.yml"
put 644 "$work/example.yml" etc/holdfast/holdfast.yml.example
chmod 750 "$stage/etc/holdfast"

# The units, and for the scripts which of them there are and which run for long.
units=() services=()
for unit in packaging/systemd/*.{service,timer,socket,path,target}; do
  [ -e "$unit" ] || continue
  put 644 "$unit" "usr/lib/systemd/system/${unit##*/}"
  case $unit in *@.*) continue ;; esac
  units+=("${unit##*/}")
  if [[ $unit == *.service ]] && ! grep -q '^Type=oneshot' "$unit"; then services+=("${unit##*/}"); fi
done

# Documentation.
put 644 README.md usr/share/doc/holdfast/README.md
for guide in docs/user/*.md docs/ops/*.md; do put 644 "$guide" "usr/share/doc/holdfast/$guide"; done
for more in prometheus grafana; do
  [ ! -d packaging/$more ] || (cd packaging && find $more -type f ! -name '*_test*' ! -name '*.test.yml' -exec install -D -m 644 {} "$doc/examples/{}" \;)
done
put 644 packaging/deb/copyright usr/share/doc/holdfast/copyright
put 644 packaging/deb/lintian-overrides usr/share/lintian/overrides/holdfast
squeeze "$doc/CHANGELOG.md.gz" <CHANGELOG.md
printf 'holdfast (%s) stable; urgency=medium\n\n  * CHANGELOG.md.gz tells what changed.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | squeeze "$doc/changelog.gz"
{
  printf '======== The Go library\n'
  cat "$(go env GOROOT)/LICENSE"
  go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/holdfast | sort -u |
    while read -r module release dir; do
      printf '\n======== %s %s\n' "$module" "$release"
      find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort |
        xargs -rd '\n' cat
    done
} | squeeze "$doc/NOTICES.gz"

# The package itself.
find "$stage" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
size=$(du -k --apparent-size -s "$stage" | cut -f1)
mkdir "$stage/DEBIAN"
text control >"$stage/DEBIAN/control"
for script in postinst prerm postrm; do
  text $script >"$stage/DEBIAN/$script"
  chmod 755 "$stage/DEBIAN/$script"
done
(cd "$stage" && find etc -type f -printf '/%p\n' | sort >DEBIAN/conffiles)
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$stage" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
deb=$out/holdfast_${version}_$arch.deb
dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" --build "$stage" "$deb" >/dev/null
echo "$deb"
