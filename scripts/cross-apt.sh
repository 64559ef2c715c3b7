# For sourcing: a package index of our own, for sources or another architecture, that leaves the
# machine's apt alone. Works without root.

# Makes <folder>/apt.conf for `apt-get -c`, with Debian's repositories as this machine has them.
# private_apt folder deb|deb-src architecture
private_apt() {
  mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial"
  : > "$1/status" # nothing is installed there
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sort -u | while read -r origin uri release component; do
      if [ "$origin" = Debian ] && [ "$component" = main ]; then
        echo "$2 [signed-by=$keyring] $uri $release main"
      fi
    done > "$1/sources.list"
  if [ ! -s "$1/sources.list" ]; then
    echo "expected Debian's repositories, read with 'apt-get update', in apt's sources; saw none" >&2
    return 1
  fi
  cat > "$1/apt.conf" << END
#clear APT::Architectures;
#clear DPkg::Post-Invoke;
APT::Architecture "$3";
APT::Architectures { "$3"; };
APT::Install-Recommends "false";
APT::Get::List-Cleanup "false";
Debug::NoLocking "true";
Dir::State "$1/state";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
END
  # The sandbox's user need not be able to read our folder.
  if [ "$(id -u)" -eq 0 ]; then echo 'APT::Sandbox::User "root";' >> "$1/apt.conf"; fi
  apt-get -c "$1/apt.conf" update -qq
}
