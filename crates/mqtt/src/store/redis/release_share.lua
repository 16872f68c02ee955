-- Releases what waits for a member of a shared subscription that is away, and was never sent, for all members.
-- ARGV: client, the filter of the shared subscription
local client, share = ARGV[1], ARGV[2]
local s = session_fields(P .. 's:' .. client, 'owner', 'sent')
if s[1] ~= '' then return { DONE } end
local from = '(' .. (s[2] or '0') .. '-18446744073709551615'
local gone = {}
for _, entry in ipairs(session_call('XRANGE', P .. 'q:' .. client, from, '+', 'COUNT', LIMITS.share_release)) do
  local how = entry[2][4]
  -- Behind length, QoS and flags stands the share with its length.
  if string.byte(how, 4) % 4 >= 2 and struct.unpack('>I2', how, 5) == #share and string.sub(how, 7, 6 + #share) == share then
    local message = entry_message(entry)
    if message then redis.call('XADD', P .. 'left', '*', 'm', message, 'h', how) end
    gone[#gone + 1] = entry
  end
end
remove_entries(client, gone)
return { DONE }
