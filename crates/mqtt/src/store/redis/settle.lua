-- Whether the other replicas have applied the changes up to a version.
-- ARGV: replica, version
return is_settled(ARGV[1], tonumber(ARGV[2]))
