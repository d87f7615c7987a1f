require "capistrano/scm/plugin"

# A release comes from a folder here: packed, uploaded, unpacked.
class LocalFolder < Capistrano::SCM::Plugin
  def register_hooks
    after "deploy:new_release_path", "local_folder:create_release"
    before "deploy:set_current_revision", "local_folder:set_current_revision"
  end

  def define_tasks
    eval_rakefile File.expand_path("local_folder.rake", __dir__)
  end
end
