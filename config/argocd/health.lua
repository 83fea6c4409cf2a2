-- The health of a RegistryCluster, DrmCluster or SchedulerCluster for Argo CD, from its conditions, as kstatus reads them.
--
--   Healthy      as the spec of this generation wants it
--   Progressing  the operator works on it, or has not looked at this generation yet
--   Suspended    nothing is wrong, and it waits for what a person has set or has to give: a pause, a window, an approval
--   Degraded     halted: a person has to decide; or at rest with something broken
local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "it is being deleted")
end
if obj.status == nil or obj.status.conditions == nil then
  return health("Progressing", "waiting for the operator")
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not looked at this generation yet")
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end
local function is(kind, status)
  return conditions[kind] ~= nil and conditions[kind].status == status
end
local function says(kind)
  local condition = conditions[kind]
  return condition.reason .. ": " .. (condition.message or "")
end

if is("Stalled", "True") then
  return health("Degraded", says("Stalled"))
end
if is("Reconciling", "True") then
  return health("Progressing", says("Reconciling"))
end
if is("Paused", "True") then
  return health("Suspended", says("Paused"))
end

if not is("Ready", "True") then
  -- A rollout that waits for its window or its approval: nothing is wrong, and nothing moves.
  local wanted = { PausedBySpec = true, WaitingForWindow = true, WaitingForApproval = true }
  if conditions.Ready ~= nil and wanted[conditions.Ready.reason] then
    return health("Suspended", says("Ready"))
  end
  if conditions.Ready ~= nil then
    return health("Progressing", says("Ready"))
  end
  return health("Progressing", "waiting for the operator")
end
if is("Available", "False") then
  return health("Degraded", says("Available"))
end
if is("Degraded", "True") then
  -- What the spec itself asks for is no failure, and must not fail a sync: one server of a role, push that is held,
  -- connections that are not counted, apps that are not moved.
  local chosen = { NotHighlyAvailable = true, PushHeld = true, ConnectionsUnknown = true, AppsNotMoved = true }
  if chosen[conditions.Degraded.reason] then
    return health("Healthy", says("Degraded"))
  end
  return health("Degraded", says("Degraded"))
end
return health("Healthy", says("Ready"))
